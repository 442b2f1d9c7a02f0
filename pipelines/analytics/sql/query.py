"""A query while it is planned, and the steps that every kind of SELECT has. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from sqlglot import exp

from pipelines.analytics.sql import types
from pipelines.analytics.sql.compile import BASE, Scope, Typed, compiled
from pipelines.analytics.sql.expression import Call, Cast, Column, Constant, Expression
from pipelines.analytics.sql.parse import Field, name_of
from pipelines.analytics.sql.refusals import require_read, wrong
from pipelines.analytics.sql.steps import CARRIED, ORIGIN, Derive, fields_of
from pipelines.analytics.sql.types import Kind
from pipelines.analytics.state import Scoring
from pipelines.analytics.windows import Windowing


@dataclass(frozen=True)
class Score:
    """`ScoreRows` of rows whose numbers a `Derive` before it has made.

    Attributes:
        windowing: what is computed of them.
        scoring: what is computed of that.
        step_ms: rows are released in steps of it.
        wait_ms: how long rows wait for those that windows before this one hold back; set when all pumps are known.
    """

    windowing: Windowing
    scoring: Scoring
    step_ms: int = 1_000
    wait_ms: int = 0

    def behind(self, wait_ms: int) -> "Score":
        """It, if rows come up to `wait_ms` behind the watermark: a number of steps, so that batches have whole ones."""
        return replace(self, wait_ms=-(-wait_ms // self.step_ms) * self.step_ms)

    @property
    def holds_ms(self) -> int:
        """How far behind the watermark its results come, at most."""
        return self.wait_ms + self.step_ms


Stage = Derive | Score


@dataclass(frozen=True)
class Query:
    """Rows of a stream, and what is done with them.

    Attributes:
        source: the stream.
        stages: one behind the other.
        fields: the columns of what comes out.
        names: by which a column can say that it is of it.
        is_source: nothing has been done, and the stream is the application's input.
        event_time: the column of the input by which it is windowed, where that is not ROWTIME.
    """

    source: str
    stages: tuple[Stage, ...]
    fields: tuple[Field, ...]
    names: tuple[str, ...]
    is_source: bool = False
    event_time: int | None = None

    @property
    def scope(self) -> Scope:
        """What names mean in a query of it."""
        return Scope(self.fields, self.names, self.is_source)


Streams = Callable[[exp.Expr, str], Query]
"""The stream of a name, as a query of which nothing has been asked."""
Functions = Callable[[exp.Expr, Callable[[exp.Select], Query]], Query]


def where(node: exp.Select, scope: Scope) -> Expression | None:
    """The condition of WHERE."""
    clause = node.args.get("where")
    return None if clause is None else condition(clause, compiled(clause.this, scope))


def condition(node: exp.Expr, found: Typed) -> Expression:
    """The condition of a WHERE or HAVING."""
    if found.type.kind is not Kind.TRUTH:
        raise wrong(node, f"`{node.this.sql()}` is no condition.", "write a comparison")
    return found.value


def key(found: Typed) -> Expression:
    """A value that rows are parted by: of a DOUBLE there is one zero and one 1, and infinity is an error, not NULL.

    The series' name is JSON, which tells 0.0 from -0.0 and 1 from 1.0, and has no infinity.
    """
    if found.type.kind is not Kind.REAL:
        return found.value
    return Call("+", (Cast(found.value, types.DOUBLE), Constant(0.0)))


def named(
    node: exp.Select, scope: Scope, value: Callable[[exp.Expr], Typed], star: bool = True
) -> tuple[tuple[Field, ...], tuple[tuple[Any, Expression], ...]]:
    """The columns of a select list: as fields, and as outputs of a `Derive`."""
    found: list[tuple[str, Typed]] = []
    for item in node.expressions:
        inner = item.this if isinstance(item, exp.Alias) else item
        if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
            if not star:
                raise wrong(item, "* has no meaning beside GROUP BY.", "name the columns")
            require_read(inner)
            if isinstance(inner, exp.Column):
                require_read(inner.this)
            if isinstance(inner, exp.Column) and name_of(inner.args["table"]) not in scope.names:
                fix = f"write {' or '.join(scope.names)}, in quotes where it is not in capitals"
                raise wrong(inner, f"there is no stream {name_of(inner.args['table'])} in this query.", fix)
            found += [(each.name, scope.column(at)) for at, each in enumerate(scope.fields)]
            continue
        if isinstance(item, exp.Alias):
            name = name_of(item.args["alias"])
        else:
            name = name_of(inner.this) if isinstance(inner, exp.Column) else f"EXPR${len(found)}"
        found.append((name, value(inner)))
    fields = tuple(Field(name, typed.type) for name, typed in found)
    outputs = tuple(zip(fields_of(fields), (typed.value for _, typed in found), strict=True))
    return fields, outputs


def in_cursor(node: exp.Expr, select: exp.Select) -> bool:
    """Whether a node below `select` belongs to a query in it."""
    return node.find_ancestor(exp.Select) is not select


def carried_fields(fields: tuple[Field, ...]) -> tuple[Any, ...]:
    """What a row is carried along with while numbers of it are scored."""
    return (*CARRIED, *fields_of(fields))


def carrying(
    scope: Scope,
    values: tuple[tuple[Any, Expression], ...],
    *,
    series: tuple[Expression, ...],
    where: Expression | None = None,
) -> Derive:
    """The step before rows are scored one by one: `values`, and everything else of the row beside."""
    origin = (pa.field(ORIGIN, pa.string(), nullable=False), Column(BASE.index("series")))
    columns = ((field, scope.column(at).value) for at, field in enumerate(fields_of(scope.fields)))
    return Derive(scope.inputs, (*values, origin, *columns), where=where, series=series)


def restored(scope: Scope) -> tuple[str, ...]:
    """The columns of results that are a row of `scope.inputs`."""
    return tuple(ORIGIN if name == "series" else name for name in scope.inputs)

"""A parsed expression, with its columns found and its types checked, as one that has a value for a row. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlglot import exp

from pipelines.analytics.sql import types
from pipelines.analytics.sql.dialect import Step
from pipelines.analytics.sql.expression import CALENDAR, UNITS_MS, Call, Cast, Column, Constant, Expression, Logic
from pipelines.analytics.sql.parse import ROWTIME, Field, name_of
from pipelines.analytics.sql.refusals import require_read, unsupported, unsupported_node, wrong
from pipelines.analytics.sql.types import Kind, SqlType, sql_type
from pipelines.runtime.errors import ConfigurationError

LONGEST_MS: Final = 8_000 * 366 * 86_400_000
"""Of an interval: times are from 1970 to 9999."""
_MOST_DIGITS: Final = 40
"""A number with more does not fit either, and Python refuses to read thousands."""
BASE: Final = ("event_ms", "series", "shard_id", "sequence_number")
"""Columns of a batch of an in-application stream that stand before those of SQL, where an expression finds them."""
PSEUDO: Final = {
    "APPROXIMATE_ARRIVAL_TIME": (0, types.TIMESTAMP),
    "PARTITION_KEY": (1, types.VARCHAR),
    "SHARD_ID": (2, types.VARCHAR),
    "SEQUENCE_NUMBER": (3, types.VARCHAR),
}
"""Columns that a source has beside those of its schema (C5): their places in BASE and their types."""


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression and the type of its values."""

    value: Expression
    type: SqlType


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean in a query.

    Attributes:
        fields: the columns of what it selects from.
        names: by which a column can say that it is of it.
        is_source: it is the application's input: it has PSEUDO columns, and a name without quotes is found whatever its
            case, since a RecordColumn's name has no quotes to tell by.
    """

    fields: tuple[Field, ...]
    names: tuple[str, ...] = ()
    is_source: bool = False
    inputs: tuple[str, ...] = field(init=False)
    """Columns of a batch that make the row of an expression."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", (*BASE, *(f"c{at}" for at in range(len(self.fields)))))

    def column(self, at: int) -> Typed:
        """Column number `at` of SQL's."""
        return Typed(Column(len(BASE) + at), self.fields[at].type)

    def resolve(self, node: exp.Column) -> Typed:
        """The column that a name means.

        Raises:
            ConfigurationError: none, or more than one.
        """
        qualifier = node.args.get("table")
        if qualifier is not None and name_of(qualifier) not in self.names:
            fix = f"write {' or '.join(self.names)}, in quotes where it is not in capitals"
            raise wrong(node, f"there is no stream {name_of(qualifier)} in this query.", fix)
        name = name_of(node.this)
        known = [each.name for each in self.fields]
        if name == ROWTIME:
            return Typed(Column(0), types.TIMESTAMP)
        if name in known:
            return self.column(known.index(name))
        if self.is_source and not node.this.args.get("quoted"):
            like = [at for at, each in enumerate(known) if each.upper() == name]
            if len(like) == 1:
                return self.column(like[0])
        if self.is_source and name in PSEUDO:
            at, kind = PSEUDO[name]
            return Typed(Column(at), kind)
        fix = f"use {', '.join(known)} or ROWTIME; a name in quotes is case-sensitive, one without is in capitals"
        raise wrong(node, f"there is no column {name}.", fix)


Special = Callable[[exp.Expr], Typed | None]
_BINARY: Final[dict[Any, str]] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "MOD", exp.EQ: "=", exp.NEQ: "<>",
    exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.DPipe: "||", exp.Like: "LIKE",
}  # fmt: skip
_TEXT: Final[dict[Any, str]] = {exp.Upper: "UPPER", exp.Lower: "LOWER", exp.Trim: "TRIM", exp.Length: "CHAR_LENGTH"}


def compiled(node: exp.Expr, scope: Scope, special: Special = lambda node: None) -> Typed:
    """What `node` computes of a row of `scope.inputs`.

    Args:
        node: as sqlglot has it.
        scope: what names mean.
        special: is asked first, at each node: its answer stands for the node.

    Raises:
        ConfigurationError: something that is not supported, a name that means nothing, types that do not fit.
    """
    found = special(node)
    if found is None:
        found = _compiled(node, scope, special)
    return Typed(Logic("NOT", (found.value,)), types.BOOLEAN) if node.args.get("negate") else found


def _compiled(node: exp.Expr, scope: Scope, special: Special) -> Typed:  # noqa: PLR0911, PLR0912 - a table of nodes
    def inner(child: exp.Expr) -> Typed:
        return compiled(child, scope, special)

    def condition(child: exp.Expr) -> Expression:
        found = inner(child)
        _expect(child, found, found.type.kind is Kind.TRUTH, "a condition")
        return found.value

    require_read(node)
    match node:
        case exp.Paren() | exp.Alias():
            return inner(node.this)
        case exp.Column():
            return scope.resolve(node)
        case exp.Literal():
            return _literal(node)
        case exp.Boolean():
            return Typed(Constant(bool(node.this)), types.BOOLEAN)
        case exp.Null():
            return Typed(Constant(None), SqlType("NULL", Kind.TEXT))
        case exp.And() | exp.Or():
            return _logic(node.key.upper(), condition(node.this), condition(node.expression))
        case exp.Not():
            return _logic("NOT", condition(node.this))
        case exp.Is() if isinstance(node.expression, exp.Null):
            return _logic("IS NULL", inner(node.this).value)
        case exp.Between():
            low = _binary(node, ">=", inner(node.this), inner(node.args["low"]))
            return _logic("AND", low.value, _binary(node, "<=", inner(node.this), inner(node.args["high"])).value)
        case exp.In() if not node.expressions:
            raise unsupported_node(node.args.get("query") or node)
        case exp.In():
            left = inner(node.this)
            return _logic("OR", *(_binary(node, "=", left, inner(each)).value for each in node.expressions))
        case exp.Cast() if type(node) is exp.Cast:
            into = sql_type(node.to, f"CAST on line {node.meta.get('line', '?')}")
            given = inner(node.this)
            return Typed(Cast(given.value, into, given.type.kind), into)
        case exp.Case():
            return _case(node, inner, condition)
        case exp.Coalesce():
            every = [inner(child) for child in (node.this, *node.expressions)]
            return Typed(Logic("COALESCE", tuple(each.value for each in every)), _common(node, every))
        case exp.Neg() if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return _literal(node.this, sign=-1)  # the least BIGINT has no positive one
        case exp.Neg() | exp.Abs():
            value = inner(node.this)
            _expect(node, value, value.type.kind.is_numeric, "a number")
            return Typed(Call("ABS" if isinstance(node, exp.Abs) else "NEGATIVE", (value.value,)), value.type)
        case exp.Floor() | Step():
            return stepped(node, inner(node.this))
    if type(node) in _BINARY:
        return _binary(node, _BINARY[type(node)], inner(node.this), inner(node.expression))
    if type(node) in _TEXT:
        value = inner(node.this)
        _expect(node, value, value.type.kind is Kind.TEXT, "a text")
        name = _TEXT[type(node)]
        return Typed(Call(name, (value.value,)), types.INTEGER if name == "CHAR_LENGTH" else types.VARCHAR)
    raise unsupported_node(node)


def stepped(node: exp.Expr, time: Typed) -> Typed:
    """FLOOR(time TO unit) or STEP(time BY interval) (C8)."""
    _expect(node, time, time.type.kind is Kind.TIME, "a TIMESTAMP")
    if isinstance(node, Step):
        return Typed(Call("STEP", (time.value, Constant(interval_ms(node.expression)))), types.TIMESTAMP)
    to = node.args.get("to")
    unit = to.name.upper() if to is not None else ""
    if unit not in CALENDAR:
        raise wrong(node, "FLOOR takes a time and a unit.", f"write FLOOR(time TO MINUTE), or {', '.join(CALENDAR)}")
    return Typed(Call("FLOOR", (time.value, Constant(unit))), types.TIMESTAMP)


def window_ms(node: exp.Expr, opens: Expression) -> int:
    """How long the windows are whose beginning STEP or FLOOR gives.

    Args:
        node: the STEP or FLOOR.
        opens: it, compiled.

    Raises:
        ConfigurationError: months and years have no length.
    """
    assert isinstance(opens, Call)
    assert isinstance(opens.arguments[1], Constant)
    length = opens.arguments[1].value
    if opens.name == "STEP":
        return int(length)
    if length not in UNITS_MS:
        raise wrong(node, f"a window of a {length} has no length.", f"use {', '.join(UNITS_MS)}")
    return UNITS_MS[length]


def interval_ms(node: exp.Expr | None) -> int:
    """The milliseconds of INTERVAL '60' SECOND and the like.

    Raises:
        ConfigurationError: it is none, not above 0, longer than time is here, or of months or years, which have no
            length.
    """
    if isinstance(node, exp.Interval) and isinstance(node.args.get("unit"), exp.Var):
        unit, text = node.args["unit"].name.upper(), node.this.name
        if unit in UNITS_MS:
            try:
                found = types.number_of_text(text) * UNITS_MS[unit]
            except ValueError:
                found = math.nan
            if 1 <= found <= LONGEST_MS:
                return round(found)
            if not math.isnan(found):
                message = f"an interval of {text[:40]} {unit} is no length of a window."
                raise wrong(node, message, "write one of a millisecond or more, and of fewer than 8,000 years")
    raise wrong(node, "an interval has a number and a unit.", "write e.g. INTERVAL '60' SECOND, MINUTE, HOUR or DAY")


def _literal(node: exp.Literal, sign: int = 1) -> Typed:
    if node.is_string:
        return Typed(Constant(node.this), types.VARCHAR)
    if node.this.isdigit():
        whole = sign * int(node.this[:_MOST_DIGITS])
        if not -(1 << 63) <= whole < 1 << 63:
            raise wrong(node, f"{whole} does not fit into BIGINT.", "write it with a point, as a DOUBLE")
        return Typed(Constant(whole), types.INTEGER if -(1 << 31) <= whole < 1 << 31 else types.BIGINT)
    real = sign * float(node.this)
    if not math.isfinite(real):
        raise wrong(node, f"{node.this} does not fit into DOUBLE.", "write a number below 1.8E308")
    return Typed(Constant(real), types.DOUBLE)


def _logic(name: str, *values: Expression) -> Typed:
    return Typed(Logic(name, values), types.BOOLEAN)


def _binary(node: exp.Expr, name: str, left: Typed, right: Typed) -> Typed:
    kinds = {left.type.kind, right.type.kind}
    call = Call(name, (left.value, right.value))
    if name in ("||", "LIKE"):
        for side in (left, right):
            _expect(node, side, side.type.kind is Kind.TEXT, "a text")
        return Typed(call, types.VARCHAR if name == "||" else types.BOOLEAN)
    if name in ("+", "-", "*", "/", "MOD"):
        for side in (left, right):
            _expect(node, side, side.type.kind.is_numeric, "a number")
        return Typed(call, types.BIGINT if kinds == {Kind.WHOLE} else types.DOUBLE)
    is_null = "NULL" in (left.type.name, right.type.name)
    if len(kinds) > 1 and not is_null and not all(kind.is_numeric for kind in kinds):
        what = f"a {left.type.kind} cannot be compared to a {right.type.kind}"
        raise wrong(node, f"{what}, in `{node.sql()}`.", "CAST one of them to the type of the other")
    return Typed(call, types.BOOLEAN)


def _case(node: exp.Case, inner: Callable[[exp.Expr], Typed], condition: Callable[..., Expression]) -> Typed:
    if node.this is not None:
        raise unsupported(node, "CASE with a value behind it", "write CASE WHEN value = ... THEN ...")
    branches = [(condition(each.this), inner(each.args["true"])) for each in node.args["ifs"]]
    default = node.args.get("default")
    rest = inner(default) if default is not None else Typed(Constant(None), SqlType("NULL", Kind.TEXT))
    parts = [part for when, then in branches for part in (when, then.value)]
    return Typed(Logic("CASE", (*parts, rest.value)), _common(node, [then for _, then in branches] + [rest]))


def _common(node: exp.Expr, every: list[Typed]) -> SqlType:
    """The type of what is one of several."""
    found = [each.type for each in every if each.type.name != "NULL"]
    kinds = {each.kind for each in found}
    if len(kinds) == 1:
        return found[0]
    if kinds and all(kind.is_numeric for kind in kinds):
        return types.DOUBLE
    raise wrong(node, f"`{node.sql()}` has values of several types.", "CAST them to one")


def _expect(node: exp.Expr, found: Typed, holds: bool, what: str) -> None:
    if not holds and found.type.name != "NULL":
        error: ConfigurationError = wrong(node, f"`{node.sql()}` needs {what}.", f"CAST the {found.type.name}")
        raise error

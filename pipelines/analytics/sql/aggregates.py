"""Aggregates of SQL out of what windows compute, which knows no NULL. Pure.

NULL is no part of an aggregate in SQL. So beside a number, how many values there were is summed up.
"""

import math
from typing import Any, Final

import pyarrow as pa
from sqlglot import exp

from pipelines.analytics.sql import types
from pipelines.analytics.sql.compile import Scope, Typed, compiled
from pipelines.analytics.sql.expression import Aggregated, Column, Constant, Exact, Expression, Number, Present
from pipelines.analytics.sql.refusals import require_read, unsupported, unsupported_node
from pipelines.analytics.sql.types import Kind
from pipelines.analytics.windows import Aggregate, Function

_NUMBERS: Final[dict[type[exp.Expr], tuple[Function, float]]] = {
    exp.Sum: ("SUM", 0.0),
    exp.Avg: ("SUM", 0.0),
    exp.Min: ("MIN", math.inf),
    exp.Max: ("MAX", -math.inf),
    exp.FirstValue: ("FIRST", math.nan),
    exp.LastValue: ("LAST", math.nan),
}
"""The window's function, and what stands for NULL in it."""


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a node is an aggregate function, of whatever kind."""
    return isinstance(node, exp.AggFunc | exp.FirstValue | exp.LastValue)


class Aggregates:
    """Those of one query, as they are met.

    Args:
        scope: what names mean in their arguments.
        first: the place of the first number in the rows of what comes of the window.
    """

    def __init__(self, scope: Scope, first: int) -> None:
        self._scope = scope
        self._first = first
        self._values: dict[Expression, str] = {Number(Constant(1), 1.0): "v0"}
        self._numbers: dict[tuple[Function, str], int] = {("COUNT", "v0"): 0}

    def of(self, node: exp.Expr) -> Typed:
        """An aggregate, as an expression of what comes of the window.

        Raises:
            ConfigurationError: one that is not supported.
        """
        if isinstance(node, exp.Count) and isinstance(node.this, exp.Star | exp.Literal) and not node.expressions:
            return Typed(self._whole(self._number("COUNT", Number(Constant(1), 1.0))), types.BIGINT)
        if isinstance(node.this, exp.Distinct):
            raise unsupported_node(node.this)
        if node.expressions or (not isinstance(node, exp.Count) and type(node) not in _NUMBERS):
            raise unsupported_node(node)
        require_read(node)
        argument = compiled(node.this, self._scope)
        if isinstance(node, exp.Count):
            return Typed(self._whole(self._number("SUM", Present(argument.value))), types.BIGINT)
        function, otherwise = _NUMBERS[type(node)]
        kind = argument.type.kind
        if not kind.is_numeric and not (kind is Kind.TIME and function != "SUM"):
            fix = "aggregate a number or, with MIN and MAX, a TIMESTAMP; group by a text"
            raise unsupported(node, f"{node.key.upper()} of a {argument.type.name}", fix)
        exact = Exact(argument.value) if function != "SUM" and argument.type.name == "BIGINT" else argument.value
        value = self._number(function, Number(exact, otherwise))
        if function in ("FIRST", "LAST"):
            present = self._number(function, Present(argument.value))
        else:
            present = self._number("SUM", Present(argument.value))
        mean = isinstance(node, exp.Avg)
        whole = kind in (Kind.WHOLE, Kind.TIME) and not mean
        kept = types.DOUBLE if mean else types.BIGINT if function == "SUM" and whole else argument.type
        return Typed(Aggregated(value, present, whole, mean), kept)

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of what comes of the window."""
        return tuple(f"a{at}" for at in range(len(self._numbers)))

    def values(self) -> tuple[tuple[Any, Expression], ...]:
        """The numbers of a row that a window needs, as outputs of a `Derive`."""
        return tuple((pa.field(name, pa.float64(), nullable=False), value) for value, name in self._values.items())

    def aggregates(self) -> tuple[Aggregate, ...]:
        """What the window computes."""
        return tuple(Aggregate(function, name, f"a{at}") for (function, name), at in self._numbers.items())

    def _number(self, function: Function, value: Expression) -> Expression:
        name = self._values.setdefault(value, f"v{len(self._values)}")
        return Column(self._first + self._numbers.setdefault((function, name), len(self._numbers)))

    def _whole(self, value: Expression) -> Expression:
        return Aggregated(value, Constant(1), whole=True)

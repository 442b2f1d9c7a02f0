"""TABLE(function(CURSOR(...), ...)): RANDOM_CUT_FOREST, with explanation or not, and HOTSPOTS (C11 to C13). Pure."""

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from sqlglot import exp

from pipelines.analytics.explanation import ANOMALY_EXPLANATION, EXPLANATION_CHARACTERS, ExplainedForests, require_fit
from pipelines.analytics.forests import ANOMALY_SCORE, Forests
from pipelines.analytics.hotspots import HOTSPOTS_RESULT, RESULT_CHARACTERS, HotspotOptions, Hotspots
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.sql import types
from pipelines.analytics.sql.compile import BASE, Scope
from pipelines.analytics.sql.dialect import Cursor
from pipelines.analytics.sql.expression import Column, Expression, Number, Renamed, Required
from pipelines.analytics.sql.parse import Field, named_again
from pipelines.analytics.sql.query import Query, Score, carried_fields, carrying, restored
from pipelines.analytics.sql.refusals import unsupported_node, wrong
from pipelines.analytics.sql.steps import Derive, fields_of
from pipelines.analytics.sql.types import FUNCTION_TYPES, Kind, SqlType
from pipelines.analytics.state import Scoring
from pipelines.analytics.windows import Aggregate, SlidingRows, Windowing
from pipelines.runtime.errors import ConfigurationError

FOREST: Final = "RANDOM_CUT_FOREST"
EXPLAINED: Final = "RANDOM_CUT_FOREST_WITH_EXPLANATION"
HOTSPOTS: Final = "HOTSPOTS"
_PARAMETERS: Final = {
    FOREST: ("numberOfTrees", "subSampleSize", "timeDecay", "shingleSize"),
    EXPLAINED: ("numberOfTrees", "subSampleSize", "timeDecay", "shingleSize", "withDirectionality"),
    HOTSPOTS: ("windowSize", "scanRadius", "minimumNumberOfPointsInAHotspot"),
}
"""What stands behind the cursor, in this order."""
_DIGITS: Final = 20
"""A whole number of so many is out of every parameter's range."""
_SCORE: Final = Field(ANOMALY_SCORE, types.DOUBLE)
_RESULTS: Final = {
    FOREST: (_SCORE,),
    EXPLAINED: (_SCORE, Field(ANOMALY_EXPLANATION, SqlType("VARCHAR", Kind.TEXT, EXPLANATION_CHARACTERS))),
    HOTSPOTS: (Field(HOTSPOTS_RESULT, SqlType("VARCHAR", Kind.TEXT, RESULT_CHARACTERS)),),
}
"""The columns behind those of the cursor (C11, C12, C13)."""


def plan_function(node: exp.Expr, select: Callable[[exp.Select], Query]) -> Query:
    """What TABLE(function(CURSOR(SELECT STREAM ...), ...)) gives: the cursor's columns, and the function's behind them.

    All rows of the cursor are one series, in the order of ROWTIME.

    Args:
        node: what stands behind FROM.
        select: plans the cursor's query.

    Raises:
        ConfigurationError: another function, parameters that are refused, or columns that it does not take.
    """
    inner = node.expressions[0] if isinstance(node, exp.Anonymous) and len(node.expressions) == 1 else node
    if not isinstance(node, exp.Anonymous) or node.name.upper() != "TABLE" or not isinstance(inner, exp.Anonymous):
        raise unsupported_node(inner)
    name = inner.name.upper()
    if name not in _PARAMETERS:
        raise unsupported_node(inner)
    cursor, *given = inner.expressions or (None,)
    if not isinstance(cursor, Cursor):
        raise wrong(inner, f"{name} takes a cursor first.", f"write {name}(CURSOR(SELECT STREAM ...), ...)")
    query = select(cursor.this)
    columns = _columns(inner, query.fields)
    result = (*query.fields, *_RESULTS[name])
    again = named_again(result)
    if again is not None:
        fix = "write AS and a name of its own behind each column of the cursor"
        raise wrong(cursor, f"what {name} gives has two columns {result[again].name}.", fix)
    if len(given) > len(_PARAMETERS[name]):
        raise wrong(inner, f"{name} takes {', '.join(_PARAMETERS[name])}.", f"leave {len(given)} parameters out")
    parameters = dict(zip(_PARAMETERS[name], map(_value, given), strict=False))
    labels = tuple(f"v{at}" for at in columns)
    names = tuple(query.fields[at].name for at in columns)
    try:
        scoring = _scoring(name, parameters, labels)
        if isinstance(scoring, ExplainedForests):  # its columns get their own names behind it
            require_fit(names, directionality=scoring.options.with_directionality)
    except ConfigurationError as error:
        raise wrong(inner, error.message, error.fix) from None
    scope = query.scope
    values = tuple(_number(name, scope, at) for at in columns)
    numbers = tuple((_double(label), value) for label, value in zip(labels, values, strict=True))
    before = carrying(scope, numbers, series=())
    windowing = Windowing(
        SlidingRows(0), tuple(Aggregate("LAST", label) for label in labels), carried_fields(query.fields)
    )
    fields = (*query.fields, *_RESULTS[name])
    count = len(scope.inputs)
    kept: list[Expression] = [Column(len(BASE) + at) for at in range(len(query.fields))]
    kept.append(Column(count))
    if name == EXPLAINED:
        kept.append(Renamed(Column(count + 1), names))
    inputs = (*restored(scope), *(field.name for field in _RESULTS[name]))
    after = Derive(inputs, tuple(zip(fields_of(fields), kept, strict=True)), restore=True)
    return Query(
        query.source, (*query.stages, before, Score(windowing, scoring), after), fields, (), event_time=query.event_time
    )


def _columns(node: exp.Expr, fields: tuple[Field, ...]) -> list[int]:
    """The places of the cursor's columns that the function looks at; those that are no numbers are passed over."""
    decimal = next((field for field in fields if field.type.name == "DECIMAL"), None)
    if decimal is not None:
        name = str(node.name).upper()
        fix = f'write CAST("{decimal.name}" AS DOUBLE) AS "{decimal.name}" in the cursor'
        raise wrong(node, f"{name} takes no DECIMAL, and {decimal.name} is one.", fix)
    return [at for at, field in enumerate(fields) if field.type.name in FUNCTION_TYPES]


def _value(node: exp.Expr) -> Any:
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.this) if node.this.isdigit() and len(node.this) < _DIGITS else float(node.this)
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
        return _value(node.this)
    raise wrong(node, f"a parameter of a function is a number or TRUE, not `{node.sql()}`.", "write the number out")


def _scoring(name: str, parameters: dict[str, Any], labels: tuple[str, ...]) -> Scoring:
    if name == HOTSPOTS:
        return Hotspots(HotspotOptions.of(parameters, labels))
    options = ForestOptions.of(parameters, labels)
    return ExplainedForests(options) if name == EXPLAINED else Forests(options)


def _number(name: str, scope: Scope, at: int) -> Expression:
    """A column as a number: a forest gives a NULL no score, and no hotspot can have it."""
    value = scope.column(at).value
    if name == HOTSPOTS:
        return Required(value, f"{scope.fields[at].name} is no finite number, which HOTSPOTS needs")
    return Number(value, float("nan"))


def _double(name: str) -> Any:
    return pa.field(name, pa.float64(), nullable=False)

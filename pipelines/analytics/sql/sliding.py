"""Aggregates OVER a window that slides (C10), as steps and a window. Pure."""

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from pipelines.analytics.sql.aggregates import Aggregates, is_aggregate
from pipelines.analytics.sql.compile import Scope, Typed, compiled, interval_ms
from pipelines.analytics.sql.expression import Expression
from pipelines.analytics.sql.parse import Field, name_of
from pipelines.analytics.sql.query import (
    Query,
    Score,
    carried_fields,
    carrying,
    in_cursor,
    key,
    named,
    restored,
    where,
)
from pipelines.analytics.sql.refusals import require_key, require_read, unsupported, unsupported_node, wrong
from pipelines.analytics.sql.steps import Derive, fields_of
from pipelines.analytics.state import Unscored
from pipelines.analytics.windows import Sliding, SlidingRows, Windowing

Frame = tuple[tuple[Expression, ...], Sliding | SlidingRows]
"""What OVER names: the values by which rows are parted, and the window."""

_MOST_ROWS: Final = (1 << 31) - 1


def over(node: exp.Select) -> Iterator[exp.Window]:
    """The aggregates OVER a window in a select list."""
    for item in node.expressions:
        yield from (found for found in item.find_all(exp.Window) if not in_cursor(found, node))


def sliding(node: exp.Select, query: Query, slides: list[exp.Window]) -> Query:
    """Aggregates OVER windows that slide (C10): one window behind the other adds its aggregates to each row."""
    scope = query.scope
    known: dict[str, exp.Expr] = {}
    for each in node.args.get("windows") or ():
        if known.setdefault(name_of(each.this), each) is not each:
            raise wrong(each, f"there are two WINDOW {name_of(each.this)}.", "call one of them otherwise")
    frames: dict[Frame, list[exp.Window]] = {}
    for each in slides:
        frames.setdefault(_frame(each, known, scope), []).append(each)
    wide = query
    places: dict[int, Typed] = {}
    condition = where(node, scope)
    for frame, of_frame in frames.items():
        begin = len(wide.fields)
        wide = _widened(wide, scope, frame, [each.this for each in of_frame], condition)
        condition = None
        places |= {id(each): wide.scope.column(begin + at) for at, each in enumerate(of_frame)}

    def special(child: exp.Expr) -> Typed | None:
        if is_aggregate(child):
            raise wrong(child, f"`{child.sql()}` is of no window.", "write OVER behind it")
        return places.get(id(child))

    fields, outputs = named(node, scope, lambda item: compiled(item, scope, special))
    final = Derive(wide.scope.inputs, outputs)
    return Query(query.source, (*wide.stages, final), fields, (), event_time=query.event_time)


def _widened(
    query: Query, scope: Scope, frame: Frame, functions: list[exp.Expr], condition: Expression | None
) -> Query:
    """The rows of a query with aggregates of a window as further columns.

    Args:
        query: its rows begin with the columns of `scope`.
        scope: what names mean in `functions`.
        frame: partition and window.
        functions: the aggregates.
        condition: of rows that are looked at.
    """
    partition, window = frame
    other = next((each for each in functions if not is_aggregate(each)), None)
    if other is not None:
        raise unsupported_node(other)
    wide = query.scope
    aggregates = Aggregates(scope, first=len(wide.inputs))
    found = [aggregates.of(each) for each in functions]
    fields = (*query.fields, *(Field(f"EXPR${len(query.fields) + at}", each.type) for at, each in enumerate(found)))
    values = (*(wide.column(at).value for at in range(len(query.fields))), *(each.value for each in found))
    before = carrying(wide, aggregates.values(), where=condition, series=partition)
    windowing = Windowing(window, aggregates.aggregates(), carried_fields(query.fields))
    inputs = (*restored(wide), *aggregates.labels)
    after = Derive(inputs, tuple(zip(fields_of(fields), values, strict=True)), restore=True)
    return Query(query.source, (*query.stages, before, Score(windowing, Unscored()), after), fields, ())


def _frame(node: exp.Window, known: dict[str, exp.Expr], scope: Scope) -> Frame:
    """What OVER names: the partition, and how far the window reaches back."""
    over: exp.Expr = node
    alias = node.args.get("alias")
    if alias is not None:
        if name_of(alias) not in known:
            raise wrong(node, f"there is no WINDOW {name_of(alias)}.", f"write WINDOW {name_of(alias)} AS (...)")
        if any(node.args.get(part) for part in ("partition_by", "order", "spec")):
            require_read(node)
        over = known[name_of(alias)]
    require_read(over)
    if over.args.get("order") is not None:
        raise unsupported(over, "ORDER BY in a window", "leave it out: rows come in the order of ROWTIME")
    spec = over.args.get("spec")
    if spec is not None:
        require_read(spec)
    fix = "write RANGE INTERVAL '5' SECOND PRECEDING or ROWS 10 PRECEDING"
    if (
        spec is None
        or spec.args.get("start_side") != "PRECEDING"
        or spec.args.get("end") not in (None, "CURRENT ROW")
        or not isinstance(spec.args["start"], exp.Expr)
    ):
        raise unsupported(over, "A window without a length", fix)
    start = spec.args["start"]
    by = over.args.get("partition_by") or ()
    found = [compiled(each, scope) for each in by]
    for each, typed in zip(by, found, strict=True):
        require_key(each, typed.value, "PARTITION BY")
    partition = tuple(map(key, found))
    if spec.args["kind"].upper() == "RANGE":
        return partition, Sliding(interval_ms(start))
    if not (isinstance(start, exp.Literal) and start.this.isdigit()):
        raise unsupported(over, "A window without a length", fix)
    rows = start.this[:20]  # Python refuses to read thousands of digits
    if int(rows) > _MOST_ROWS:
        raise wrong(over, f"a window of {rows} rows is none.", f"write ROWS {_MOST_ROWS} PRECEDING, or fewer")
    return partition, SlidingRows(int(rows))

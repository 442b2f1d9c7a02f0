"""Aggregates OVER a window that slides (C10), as steps and a window. Pure."""

from collections.abc import Iterator

from sqlglot import exp

from pipelines.analytics.sql.aggregates import Aggregates, is_aggregate
from pipelines.analytics.sql.compile import Scope, Typed, compiled, interval_ms
from pipelines.analytics.sql.expression import Expression
from pipelines.analytics.sql.parse import name_of
from pipelines.analytics.sql.query import (
    Query,
    Score,
    carried_fields,
    carrying,
    in_cursor,
    named,
    restored,
    where,
)
from pipelines.analytics.sql.refusals import unsupported, unsupported_node, wrong
from pipelines.analytics.sql.steps import Derive
from pipelines.analytics.state import Unscored
from pipelines.analytics.windows import Sliding, SlidingRows, Windowing


def over(node: exp.Select) -> Iterator[exp.Window]:
    """The aggregates OVER a window in a select list."""
    for item in node.expressions:
        yield from (found for found in item.find_all(exp.Window) if not in_cursor(found, node))


def sliding(node: exp.Select, query: Query, slides: list[exp.Window]) -> Query:
    """Aggregates OVER a window that slides (C10)."""
    scope = query.scope
    known = {name_of(each.this): each for each in node.args.get("windows") or ()}
    frames = {_frame(each, known, scope) for each in slides}
    if len(frames) > 1:
        raise unsupported(slides[1], "A second window in one SELECT", "write one pump for each window")
    partition, window = frames.pop()
    aggregates = Aggregates(scope, first=len(scope.inputs))

    def special(child: exp.Expr) -> Typed | None:
        if isinstance(child, exp.Window):
            if not is_aggregate(child.this):
                raise unsupported_node(child.this)
            return aggregates.of(child.this)
        if is_aggregate(child):
            raise wrong(child, f"`{child.sql()}` is of no window.", "write OVER behind it")
        return None

    fields, outputs = named(node, scope, lambda item: compiled(item, scope, special))
    before = carrying(scope, aggregates.values(), where=where(node, scope), series=partition)
    windowing = Windowing(window, aggregates.aggregates(), carried_fields(scope.fields))
    after = Derive((*restored(scope), *aggregates.labels), outputs, restore=True)
    stages = (before, Score(windowing, Unscored()), after)
    return Query(query.source, (*query.stages, *stages), fields, (), event_time=query.event_time)


def _frame(
    node: exp.Window, known: dict[str, exp.Expr], scope: Scope
) -> tuple[tuple[Expression, ...], Sliding | SlidingRows]:
    """What OVER names: the partition, and how far the window reaches back."""
    over: exp.Expr = node
    alias = node.args.get("alias")
    if alias is not None:
        if name_of(alias) not in known:
            raise wrong(node, f"there is no WINDOW {name_of(alias)}.", f"write WINDOW {name_of(alias)} AS (...)")
        over = known[name_of(alias)]
    if over.args.get("order") is not None:
        raise unsupported(over, "ORDER BY in a window", "leave it out: rows come in the order of ROWTIME")
    spec = over.args.get("spec")
    fix = "write RANGE INTERVAL '5' SECOND PRECEDING or ROWS 10 PRECEDING"
    if (
        spec is None
        or spec.args.get("start_side") != "PRECEDING"
        or spec.args.get("end") not in (None, "CURRENT ROW")
        or not isinstance(spec.args["start"], exp.Expr)
    ):
        raise unsupported(over, "A window without a length", fix)
    start = spec.args["start"]
    partition = tuple(compiled(each, scope).value for each in over.args.get("partition_by") or ())
    if spec.args["kind"].upper() == "RANGE":
        return partition, Sliding(interval_ms(start))
    if not (isinstance(start, exp.Literal) and start.this.isdigit()):
        raise unsupported(over, "A window without a length", fix)
    return partition, SlidingRows(int(start.this))

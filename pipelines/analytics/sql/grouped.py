"""GROUP BY with STEP or FLOOR (C8), and WINDOWED BY STAGGER (C9), as steps and a window. Pure."""

from sqlglot import exp

from pipelines.analytics.sql import types
from pipelines.analytics.sql.aggregates import Aggregates, is_aggregate
from pipelines.analytics.sql.compile import BASE, Scope, Typed, compiled, interval_ms, window_ms
from pipelines.analytics.sql.dialect import Stagger, Step
from pipelines.analytics.sql.expression import Column, Expression
from pipelines.analytics.sql.parse import ROWTIME, name_of
from pipelines.analytics.sql.query import Query, Score, condition, key, named, where
from pipelines.analytics.sql.refusals import require_key, unsupported, wrong
from pipelines.analytics.sql.steps import Derive
from pipelines.analytics.sql.types import Kind
from pipelines.analytics.state import Unscored
from pipelines.analytics.windows import Stagger as StaggerWindow
from pipelines.analytics.windows import Tumbling, Window, Windowing


def grouped(node: exp.Select, query: Query) -> Query:
    """GROUP BY with STEP or FLOOR (C8), and WINDOWED BY STAGGER (C9)."""
    scope = query.scope
    stagger = node.args.get("cluster")
    if stagger is None:
        keys, window, opens, time = _tumbling(node.args["group"], query)
    else:
        assert isinstance(stagger, Stagger)
        if node.args.get("group"):
            raise wrong(stagger, "WINDOWED BY takes the place of GROUP BY.", "leave GROUP BY out")
        keys = [compiled(each, scope) for each in stagger.args["partition_by"]]
        for each, typed in zip(stagger.args["partition_by"], keys, strict=True):
            require_key(each, typed.value, "PARTITION BY")
        window, opens, time = StaggerWindow(interval_ms(stagger.expression)), None, None
    aggregates = Aggregates(scope, first=len(keys) + 2)
    end, start = Typed(Column(len(keys) + 1), types.TIMESTAMP), Typed(Column(len(keys)), types.TIMESTAMP)
    by_value = {each.value: Typed(Column(at), each.type) for at, each in enumerate(keys)}

    def special(child: exp.Expr) -> Typed | None:
        if is_aggregate(child):
            return aggregates.of(child)
        if child.find(exp.AggFunc) is None:
            found = compiled(child, scope)
            if found.value in by_value:
                return by_value[found.value]
            if found.value == opens:
                return start
        if isinstance(child, exp.Column):
            if name_of(child.this) == ROWTIME:
                return end
            fix = "group by it, or aggregate it with MIN, MAX, FIRST_VALUE or LAST_VALUE"
            raise wrong(child, f"the column {name_of(child.this)} is neither grouped by nor aggregated.", fix)
        return None

    fields, outputs = named(node, scope, lambda item: compiled(item, scope, special), star=False)
    having = node.args.get("having")
    kept = None if having is None else condition(having, compiled(having.this, scope, special))
    before = Derive(
        scope.inputs,
        aggregates.values(),
        where=where(node, scope),
        series=tuple(map(key, keys)),
        time=None if time is None else scope.column(time).value,
    )
    inputs = ("window_start_ms", "event_ms", *aggregates.labels)
    after = Derive(inputs, outputs, keys=len(keys), where=kept, place=None)
    stages = (before, Score(Windowing(window, aggregates.aggregates()), Unscored()), after)
    time = query.event_time if time is None else time
    return Query(query.source, (*query.stages, *stages), fields, (), event_time=time)


def _tumbling(group: exp.Expr, query: Query) -> tuple[list[Typed], Window, Expression, int | None]:
    """Of GROUP BY: keys, window, the expression of where it opens, and the column of its time (None: ROWTIME)."""
    scope = query.scope
    extra = [name for name, value in group.args.items() if value and name != "expressions"]
    if extra:
        raise unsupported(group, extra[0].upper(), "write one pump for each grouping")
    found = [(each, compiled(each, scope)) for each in group.expressions]
    for each, typed in found:
        require_key(each, typed.value, "GROUP BY")
    times = [(at, each) for at, (each, _) in enumerate(found) if isinstance(each, exp.Floor | Step)]
    by_rowtime = [at for at, each in times if compiled(each.this, scope).value == Column(0)]
    at_times = by_rowtime or [at for at, each in times if query.is_source and _is_time(each.this, scope)]
    if len(at_times) != 1:
        what = "several windows" if at_times else "no window"
        fix = "write one STEP(s.ROWTIME BY INTERVAL '60' SECOND), or FLOOR(s.ROWTIME TO MINUTE)"
        raise wrong(group, f"GROUP BY has {what}.", fix)
    at = at_times[0]
    node, opens = found[at]
    size_ms = window_ms(node, opens.value)
    time = None
    if not by_rowtime:
        column = compiled(node.this, scope).value
        assert isinstance(column, Column)
        time = column.at - len(BASE)
    return [typed for each, (_, typed) in enumerate(found) if each != at], Tumbling(size_ms), opens.value, time


def _is_time(node: exp.Expr, scope: Scope) -> bool:
    found = compiled(node, scope)
    return isinstance(found.value, Column) and found.value.at >= len(BASE) and found.type.kind is Kind.TIME

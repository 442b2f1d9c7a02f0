"""ORDER BY FLOOR(s.ROWTIME TO SECOND), ...: rows sorted within each second, as queries of forests end. Pure."""

from sqlglot import exp

from pipelines.analytics.sql.aggregates import Aggregates
from pipelines.analytics.sql.compile import compiled, window_ms
from pipelines.analytics.sql.dialect import Step
from pipelines.analytics.sql.expression import Column
from pipelines.analytics.sql.query import Query, Score, carried_fields, carrying, named, restored, where
from pipelines.analytics.sql.refusals import CLAUSES, require_key, require_read, unsupported
from pipelines.analytics.sql.steps import Derive
from pipelines.analytics.state import Unscored
from pipelines.analytics.windows import SlidingRows, Windowing


def ordered(node: exp.Select, query: Query) -> Query:
    """A plain SELECT with ORDER BY: rows are released in steps of its time, and sorted in each.

    Raises:
        ConfigurationError: the first key is no STEP or FLOOR of ROWTIME, upwards.
    """
    scope = query.scope
    keys = node.args["order"].expressions
    time = keys[0].this
    if (
        not isinstance(time, exp.Floor | Step)
        or keys[0].args.get("desc")
        or compiled(time.this, scope).value != Column(0)
    ):
        raise unsupported(node.args["order"], *CLAUSES["order"])
    require_read(node.args["order"])
    for key in keys:
        require_read(key)
        if bool(key.args.get("nulls_first")) is bool(key.args.get("desc")):
            fix = "leave it out: NULL is the least, first upwards and last downwards"
            raise unsupported(key, "NULLS FIRST downwards, or LAST upwards,", fix)
    order = tuple((compiled(key.this, scope).value, bool(key.args.get("desc"))) for key in keys)
    for key, (value, _) in zip(keys, order, strict=True):
        require_key(key.this, value, "ORDER BY")
    fields, outputs = named(node, scope, lambda item: compiled(item, scope))
    count = Aggregates(scope, first=0)  # a window computes something: rows are counted
    before = carrying(scope, count.values(), where=where(node, scope), series=())
    windowing = Windowing(SlidingRows(0), count.aggregates(), carried_fields(scope.fields))
    score = Score(windowing, Unscored(), step_ms=window_ms(time, order[0][0]))
    after = Derive(restored(scope), outputs, restore=True, order=order)
    return Query(query.source, (*query.stages, before, score, after), fields, (), event_time=query.event_time)

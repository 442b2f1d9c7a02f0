"""A SELECT STREAM as steps and transforms: what it selects from, and of which kind it is. Pure."""

from typing import Final

from sqlglot import exp

from pipelines.analytics.sql.aggregates import is_aggregate
from pipelines.analytics.sql.compile import compiled
from pipelines.analytics.sql.grouped import grouped
from pipelines.analytics.sql.ordered import ordered
from pipelines.analytics.sql.parse import name_of
from pipelines.analytics.sql.query import Functions, Query, Streams, in_cursor, named, where
from pipelines.analytics.sql.refusals import CLAUSES, require_read, unsupported, unsupported_node, wrong
from pipelines.analytics.sql.sliding import over, sliding
from pipelines.analytics.sql.steps import Derive

_CLAUSES_TAKEN: Final = {
    "expressions", "from_", "where", "group", "having", "windows", "cluster", "order", "operation_modifiers",
}  # fmt: skip


def plan_select(node: exp.Expr, streams: Streams, functions: Functions) -> Query:
    """What a SELECT STREAM does.

    Args:
        node: as sqlglot has it.
        streams: finds the streams that it names.
        functions: plans TABLE(function(...)).

    Raises:
        ConfigurationError: something that is not supported, or makes no sense.
    """
    if not isinstance(node, exp.Select):
        raise unsupported_node(node)
    for name, value in node.args.items():
        if value and name not in _CLAUSES_TAKEN:
            what, fix = CLAUSES.get(name, (f"{name.rstrip('_').upper()} in a SELECT", "leave it out"))
            raise unsupported(value[0] if isinstance(value, list) else value, what, fix)
    query = _from(node, streams, functions)
    slides = list(over(node))
    if node.args.get("having") and not (node.args.get("group") or node.args.get("cluster")):
        raise wrong(node.args["having"], "HAVING needs GROUP BY.", "write WHERE")
    if node.args.get("order"):
        if slides or node.args.get("group") or node.args.get("cluster"):
            raise unsupported(node.args["order"], "ORDER BY in an aggregating query", "sort in a pump behind it")
        _no_aggregates(node)
        return ordered(node, query)
    if node.args.get("group") or node.args.get("cluster"):
        if slides:
            raise unsupported(slides[0], "OVER together with GROUP BY", "write the GROUP BY as a pump of its own")
        return grouped(node, query)
    return sliding(node, query, slides) if slides else _plain(node, query)


def _from(node: exp.Select, streams: Streams, functions: Functions) -> Query:
    clause = node.args.get("from_")
    if clause is None:
        raise wrong(node, "there is no FROM.", 'write FROM "SOURCE_SQL_STREAM_001", or another stream')
    table = clause.this
    if not isinstance(table, exp.Table):
        raise unsupported_node(table)
    extra = [name for name, value in table.args.items() if value and name not in ("this", "alias")]
    if extra:
        name = extra[0].rstrip("_")
        what, fix = CLAUSES.get(extra[0], (f"{name.upper()} behind a stream's name", "name the stream alone"))
        raise unsupported(table, what, fix)
    alias = table.args.get("alias")
    if alias is not None:
        require_read(alias)
    if isinstance(table.this, exp.Func):
        query = functions(table.this, lambda select: plan_select(select, streams, functions))
        names = (name_of(alias.this),) if alias is not None else ()
    else:
        name = name_of(table.this)
        query = streams(table, name)
        if not node.args.get("operation_modifiers"):  # of a function's table KDA takes it without
            raise wrong(node, "SELECT without STREAM is a query of a table.", "write SELECT STREAM")
        names = (name_of(alias.this),) if alias is not None else (name,)
    return Query(query.source, query.stages, query.fields, names, query.is_source, query.event_time)


def _no_aggregates(node: exp.Select) -> None:
    lone = next((each for each in node.find_all(exp.Expr) if is_aggregate(each) and not in_cursor(each, node)), None)
    if lone is not None:
        fix = "write GROUP BY ..., STEP(s.ROWTIME BY INTERVAL '60' SECOND), or OVER a window"
        raise wrong(lone, f"`{lone.sql()}` is of no window.", fix)


def _plain(node: exp.Select, query: Query) -> Query:
    _no_aggregates(node)
    scope = query.scope
    fields, outputs = named(node, scope, lambda item: compiled(item, scope))
    derive = Derive(scope.inputs, outputs, where=where(node, scope))
    return Query(query.source, (*query.stages, derive), fields, (), event_time=query.event_time)

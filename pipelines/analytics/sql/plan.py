"""A plan: the application's streams and pumps, in the order in which rows pass them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final

from sqlglot import exp

from pipelines.analytics.sql.compile import BASE
from pipelines.analytics.sql.errors import ERROR_FIELDS, ERROR_STREAM
from pipelines.analytics.sql.expression import Cast, Column, Constant, Expression
from pipelines.analytics.sql.functions import plan_function
from pipelines.analytics.sql.parse import ROWTIME, Field, PumpStatement, StreamStatement, parse
from pipelines.analytics.sql.query import Query, Score, Stage
from pipelines.analytics.sql.refusals import wrong
from pipelines.analytics.sql.select import plan_select
from pipelines.analytics.sql.steps import Derive, fields_of
from pipelines.analytics.sql.types import Kind, SqlType
from pipelines.runtime.errors import ConfigurationError

SOURCE: Final = "SOURCE_SQL_STREAM_001"
"""The input's in-application stream, where the application does not call it otherwise (C1)."""


@dataclass(frozen=True)
class Pump:
    """A pump (C6).

    Attributes:
        name: of it.
        source: the stream that it reads.
        target: the stream that it inserts into.
        stages: what is done between the two.
    """

    name: str
    source: str
    target: str
    stages: tuple[Stage, ...]
    holds_ms: int = 0
    """How far behind the watermark its rows come, at most."""

    @classmethod
    def of(cls, statement: PumpStatement, source: str, stages: Sequence[Stage], wait_ms: int) -> "Pump":
        """A pump whose source's rows come up to `wait_ms` behind the watermark."""
        planned: list[Stage] = []
        for stage in stages:
            if isinstance(stage, Score):
                planned.append(stage.behind(wait_ms))
                wait_ms = stage.behind(wait_ms).holds_ms
            else:
                planned.append(stage)
        return cls(statement.name, source, statement.target, tuple(planned), wait_ms)


@dataclass(frozen=True)
class Plan:
    """What application code asks for.

    Attributes:
        source: the name of the input's stream.
        streams: the columns of each stream; the input's and `error_stream` are among them.
        pumps: each behind those whose rows it reads.
        event_times: columns of the input that windows take for the time, where it is not ROWTIME.
    """

    source: str
    streams: dict[str, tuple[Field, ...]]
    pumps: tuple[Pump, ...]
    event_times: tuple[int, ...]

    @property
    def filled(self) -> list[str]:
        """The streams that pumps insert into, and `error_stream`."""
        targets = {pump.target for pump in self.pumps} | {ERROR_STREAM}
        return [name for name in self.streams if name in targets]


def plan(code: str, fields: Sequence[Field], source: str = SOURCE) -> Plan:
    """The plan of an application.

    Args:
        code: ApplicationCode.
        fields: the columns of the input, by its schema.
        source: the name of its stream.

    Raises:
        ConfigurationError: the code is refused: the message names the construct, its line, and what to use instead.
    """
    try:
        return _plan(parse(code), fields, source)
    except RecursionError as error:
        message = "The code nests too deeply."
        raise ConfigurationError(message, fix="split the expression over several pumps") from error


def _plan(statements: Sequence[StreamStatement | PumpStatement], fields: Sequence[Field], source: str) -> Plan:
    streams = {source: tuple(fields), ERROR_STREAM: ERROR_FIELDS}
    for each in statements:
        if isinstance(each, StreamStatement):
            if each.name in (source, ERROR_STREAM):
                raise wrong(each.node, f"the stream {each.name} is there already.", "call it otherwise")
            streams[each.name] = each.fields
    pumps = {each.name: each for each in statements if isinstance(each, PumpStatement)}
    if not pumps:
        message = "The code has no pump, so there is nothing to do."
        raise ConfigurationError(message, fix="write CREATE OR REPLACE PUMP ... AS INSERT INTO ... SELECT STREAM ...")
    queries = {name: _query(pump, streams, source) for name, pump in pumps.items()}
    for name, query in queries.items():
        if query.source not in {source, *(pump.target for pump in pumps.values())}:
            message = f"pump {name} selects from {query.source}, into which no pump inserts."
            raise wrong(pumps[name].node, message, f"select from {source}, or write a pump that inserts")
    order = _order(pumps, queries)
    shared = {name for name in streams if sum(pump.target == name for pump in pumps.values()) > 1}
    planned: list[Pump] = []
    for name in order:
        pump, query = pumps[name], queries[name]
        into = _insert(pump, query, streams, place=f"{name}/" if pump.target in shared else "")
        wait_ms = max((each.holds_ms for each in planned if each.target == query.source), default=0)
        planned.append(Pump.of(pump, query.source, (*query.stages, into), wait_ms))
    times = {query.event_time for query in queries.values() if query.event_time is not None}
    return Plan(source, streams, tuple(planned), tuple(sorted(times)))


def _query(pump: PumpStatement, streams: dict[str, tuple[Field, ...]], source: str) -> Query:
    def stream(node: exp.Expr, name: str) -> Query:
        if name == ERROR_STREAM.upper() and name not in streams:
            name = ERROR_STREAM
        if name == ERROR_STREAM:
            fix = "name error_stream in the application's Outputs, or read it where results are printed"
            raise wrong(node, "a pump cannot read error_stream here.", fix)
        if name not in streams:
            known = ", ".join(each for each in streams if each != ERROR_STREAM)
            fix = f"select from {known}; a name in quotes is case-sensitive, one without is in capitals"
            raise wrong(node, f"there is no stream {name}.", fix)
        return Query(name, (), streams[name], (), is_source=name == source)

    return plan_select(pump.select, stream, plan_function)


def _order(pumps: dict[str, PumpStatement], queries: dict[str, Query]) -> list[str]:
    """The pumps' names, each behind those whose rows it reads."""
    reads = {
        name: {other for other, each in pumps.items() if each.target == query.source} for name, query in queries.items()
    }
    try:
        return list(TopologicalSorter(reads).static_order())
    except CycleError as error:
        circle = error.args[1]
        message = f"the pumps {', '.join(circle[1:])} feed each other."
        raise wrong(pumps[circle[0]].node, message, "write them one behind the other") from None


def _insert(pump: PumpStatement, query: Query, streams: dict[str, tuple[Field, ...]], *, place: str) -> Derive:
    """The last step of a pump: columns matched to those of its stream, by place, and their types (C6)."""
    if pump.target not in streams or pump.target in (ERROR_STREAM, query.source):
        fix = f'write CREATE OR REPLACE STREAM "{pump.target}" (...), and pump into that'
        raise wrong(pump.node, f"there is no stream {pump.target} to insert into.", fix)
    fields = streams[pump.target]
    names = [field.name for field in fields] if pump.columns is None else list(pump.columns)
    unknown = [name for name in names if name not in [field.name for field in fields]]
    if unknown or len(set(names)) < len(names):
        what = f"{pump.target} has no column {unknown[0]}" if unknown else "a column is named twice"
        raise wrong(pump.node, f"{what}.", f"use {', '.join(field.name for field in fields)}, each once")
    if len(names) != len(query.fields):
        message = f"pump {pump.name} selects {len(query.fields)} columns for the {len(names)} of {pump.target}."
        raise wrong(pump.node, message, f"select one value for each of {', '.join(names)}")
    values: dict[str, Expression] = {}
    for at, (name, selected) in enumerate(zip(names, query.fields, strict=True)):
        into = next(field.type for field in fields if field.name == name)
        if not _fits(selected.type, into):
            message = f"pump {pump.name} puts {selected.name}, a {selected.type.name}, into {name}, a {into.name}."
            raise wrong(pump.node, message, f"CAST it AS {into.name}, or select another column in its place")
        values[name] = Cast(Column(len(BASE) + at), into)
    outputs = tuple(
        (column, values.get(field.name, _NULL)) for column, field in zip(fields_of(fields), fields, strict=True)
    )
    # A stream that has ROWTIME among its columns gets it from its pump.
    return Derive(query.scope.inputs, outputs, place=place, time=values.get(ROWTIME))


def _fits(given: SqlType, into: SqlType) -> bool:
    """Whether a column can be inserted into another: they are of one kind, or both are numbers (C6)."""
    numbers = given.kind.is_numeric and into.kind.is_numeric
    truth = given.kind is Kind.TRUTH and into.kind.is_numeric  # true is 1 (C4)
    return given.kind is into.kind or numbers or truth or given.name == "NULL"


_NULL: Final[Expression] = Constant(None)

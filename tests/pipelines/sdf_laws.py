"""`ReadFromKinesis` as a case of the laws of splittable DoFns: any stream, any history, any way to read it."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from model_stream import ITERATOR_LIFE_S, RETENTION_S, STREAM, ModelStream, Put

from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.gate import GateItem
from pipelines.kinesis.pass_gate import _PassGateFn
from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.read import FAILURES, GATED, ReadOptions, ReadPages
from pipelines.kinesis.testing import Choose, Output, Record, SdfCase
from pipelines.runtime.clock import ManualClock

KEYS: Final = tuple(f"key-{number}" for number in range(8))


class AtOnce(Executor):
    """Makes calls when they are asked for: what threads do has no place in a schedule."""

    def submit(self, call: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


class KinesisCase(SdfCase):
    """Reads a model stream with a history.

    Args:
        choose: makes the stream, its history, where reading starts and ends, in how many restrictions it is read.
        reads: the DoFn's class.
    """

    element = STREAM
    ordered = True
    quiet_calls = 5
    # What remains of a shard is an estimate, from how far its records are behind its tip (B9).
    exact_progress = False
    size_tolerance = math.inf

    def __init__(self, choose: Choose, reads: type[ReadPages] = ReadPages) -> None:
        self._reads = reads
        self.clock = ManualClock()
        self.stream = ModelStream(self.clock, 1 + choose(3), 1 + choose(3), 1 + choose(4))
        for _ in range(choose(10)):
            self._history_step(choose)
        self.clock.advance(1)
        self._choose = choose
        self._start, self._is_begun = self._starting(choose)
        self._until = self.clock.now_ms() + 2000 if choose(4) == 3 else None
        self._splits = (1, 2, 4)[choose(3)]
        self._dofn = self._new()

    def make_dofn(self) -> beam.DoFn:
        # A worker is another thread of the process, whose cursors it shares, or another process.
        if self._choose(3) == 2:
            self._dofn = self._new()
        return copy.copy(self._dofn)

    def world_step(self, choose: Choose) -> str | None:
        action = choose(14)
        if action < 8:
            return self._history_step(choose)
        if action < 10:
            return self.stream.refuse(choose(8))
        if action == 10:
            return self.stream.drop(choose(6))
        return self.stream.pass_by((ITERATOR_LIFE_S + 1, RETENTION_S - 1800, RETENTION_S + 1)[action - 11])

    def wait(self, seconds: float) -> None:
        self.clock.sleep((1 + math.ceil(seconds * 1000)) / 1000)  # it counts milliseconds, and stands still else

    def records_of(self, output: Output) -> Iterable[Record]:
        if output.tag is None:
            return _records(output.value)
        if output.tag == GATED:
            page = _item(output).page
            return () if page is None else _records(page)
        return ()

    def downstream(self, outputs: Sequence[Output]) -> Iterable[Record]:
        gate, records = GateStage(), []
        for output in outputs:
            if output.tag == GATED:
                for page in gate.take(output):
                    records += _records(page)
            else:
                records += self.records_of(output)
        if self._splits > 1 and any(output.tag == FAILURES and output.value.kind == "EXPIRED" for output in outputs):
            # Who finds a shard gone reads on in what has its hash keys. Another restriction may have come there by a
            # merge that is gone from the stream, too: then both read it, and in whatever order.
            return sorted({record.identity: record for record in records}.values(), key=lambda record: record.order)
        return records

    def expected(self) -> Iterable[Any]:
        return [(put.number, put.sub) for put in self.stream.puts if self._is_begun(put) and self._is_in_time(put)]

    def accounted(self, outputs: Sequence[Output]) -> set[Any]:
        """What retention took before it was read (B12, B13), and gaps tell of.

        A gap is between two records that were read, or behind the last one of a closed shard: of what was gone before
        a shard was read at all, or has nothing behind it yet, nobody can know. What is still in the stream has no
        right to be in one.
        """
        shard_of = {put.number: put.shard_id for put in self.stream.puts}
        read: dict[str, list[int]] = {}
        told: set[Any] = set()
        for output in outputs:
            for record in self.records_of(output):
                read.setdefault(shard_of[record.order[0]], []).append(record.order[0])
            if output.tag == FAILURES:
                told |= self._told(output.value)

        def is_unknowable(put: Put) -> bool:
            numbers = read.get(put.shard_id)
            return not numbers or put.number < min(numbers) or (put.number > max(numbers) and self.stream.is_open(put))

        return {
            (put.number, put.sub)
            for put in self.stream.puts
            if self.stream.is_expired(put) and ((put.number, put.sub) in told or is_unknowable(put))
        }

    def _told(self, failure: ReadFailure) -> set[Any]:
        after, up_to = int(failure.after or 0), int(failure.up_to) if failure.up_to else math.inf
        shards = {failure.shard_id}
        if failure.kind == "EXPIRED":
            shards |= self.stream.unlisted_descendants(failure.shard_id)
        return {
            (put.number, put.sub) for put in self.stream.puts if put.shard_id in shards and after <= put.number < up_to
        }

    def _history_step(self, choose: Choose) -> str | None:
        """What happens to a stream while all is well."""
        action, stream = choose(8), self.stream
        if action < 4:
            for _ in range(1 + choose(4)):
                stream.put(KEYS[choose(len(KEYS))], (1, 1, 1, 3)[choose(4)])
            return "records are put"
        which = choose(8)
        steps: Sequence[Callable[[int], str | None]] = (stream.split, stream.merge, stream.scale)
        return stream.pass_by(which + 0.5) if action == 7 else steps[action - 4](which)

    def _is_in_time(self, put: Put) -> bool:
        return self._until is None or put.arrival_ms <= self._until

    def _new(self) -> ReadPages:
        options = ReadOptions(desired_num_splits=self._splits)
        dofn = self._reads(
            self._start,
            self._until,
            options,
            make_client=self._client,
            make_listing_client=self._client,
            clock=self.clock,
        )
        dofn.outputs_failures = True
        return dofn

    def _client(self) -> ModelStream:
        return self.stream

    def _starting(self, choose: Choose) -> tuple[StartingPosition, Callable[[Put], bool]]:
        """Where reading starts, and whether a record is at or behind it."""
        kind, now_ms, puts = choose(6), self.clock.now_ms(), list(self.stream.puts)
        if kind == 3:
            return StartingPosition.parse("LATEST"), lambda put: put.arrival_ms >= now_ms
        if kind == 4 and puts:
            from_ms = puts[choose(len(puts))].arrival_ms
            return StartingPosition.at_timestamp(from_ms), lambda put: put.arrival_ms >= from_ms
        if kind == 5 and puts:
            named = puts[choose(len(puts))]
            before = self.stream.ancestors(named.shard_id)
            start = StartingPosition.after({named.shard_id: (str(named.number), named.sub)})

            def is_begun(put: Put) -> bool:
                if put.shard_id == named.shard_id:
                    return (put.number, put.sub) > (named.number, named.sub)
                return put.shard_id not in before

            return start, is_begun
        return StartingPosition.parse("TRIM_HORIZON"), lambda put: True


class GateStage:
    """The stage behind the source: its DoFn, for one key, with its state in two lists."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self._gate: bytes | None = None
        self._dofn = _PassGateFn()

    def take(self, output: Output) -> Iterator[pa.RecordBatch]:
        for passed in self._dofn.process(output.value, output.timestamp, _Value(self), _Bag(self)):
            assert passed.timestamp >= output.timestamp
            yield passed.value


class _Value:
    def __init__(self, stage: GateStage) -> None:
        self._stage = stage

    def read(self) -> bytes | None:
        return self._stage._gate

    def write(self, value: bytes) -> None:
        self._stage._gate = value


class _Bag:
    def __init__(self, stage: GateStage) -> None:
        self._stage = stage

    def read(self) -> list[bytes]:
        return list(self._stage.held)

    def add(self, value: bytes) -> None:
        self._stage.held.append(value)

    def clear(self) -> None:
        self._stage.held.clear()


def _item(output: Output) -> GateItem:
    return GateItem.decode(output.value[1])


def _records(page: pa.RecordBatch) -> Iterator[Record]:
    columns = (page.column(name).to_pylist() for name in ("partition_key", "sequence_number", "sub_sequence_number"))
    for key, number, sub in zip(*columns, strict=True):
        yield Record((int(number), sub), key, (int(number), sub))

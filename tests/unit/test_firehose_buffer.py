"""Buffering (A2) without a runner: any interleaving of chunks, clock and crashes, on stand-ins for Beam's state."""

import copy
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.firehose.buffer import END, INTERVAL, MIB, SIZE, ZERO_BUFFERING_MS, Fill, Hints
from pipelines.firehose.chunk import Chunk, Sealed
from pipelines.firehose.coders import ChunkCoder, SealedCoder
from pipelines.firehose.stages import BufferFn
from pipelines.kinesis.page import make_page
from pipelines.runtime.clock import ManualClock


def chunk(number: int, size: int) -> Chunk:
    page = make_page("shardId-000000000000", [b"x" * size], ["k"], [str(number)], [1_000 + number])
    return Chunk.of_page(page)


@dataclass
class FakeState:
    """Bag and value state in one: what the runner keeps for a key."""

    items: list[Chunk] = field(default_factory=list)
    value: bytes | None = None

    def add(self, item: Chunk) -> None:
        self.items.append(item)

    def read(self) -> list[Chunk]:
        return list(self.items)

    def clear(self) -> None:
        self.items.clear()


@dataclass
class FakeValue:
    value: bytes | None = None

    def read(self) -> bytes | None:
        return self.value

    def write(self, value: bytes) -> None:
        self.value = value

    def clear(self) -> None:
        self.value = None


@dataclass
class FakeTimer:
    at: float | None = None

    def set(self, timestamp: object) -> None:
        self.at = float(timestamp)

    def clear(self) -> None:
        self.at = None


@dataclass
class Key:
    """One key of the stateful stage on a runner that commits state, timers and output together."""

    function: BufferFn
    clock: ManualClock
    chunks: FakeState = field(default_factory=FakeState)
    fill: FakeValue = field(default_factory=FakeValue)
    interval: FakeTimer = field(default_factory=FakeTimer)
    end: FakeTimer = field(default_factory=FakeTimer)

    def put(self, element: Chunk) -> list[Sealed]:
        return list(self.function.process(("key", element), self.chunks, self.fill, self.interval, self.end))

    def tick(self) -> list[Sealed]:
        if self.interval.at is None or self.interval.at > self.clock.now_ms() / 1000:
            return []
        self.interval.at = None
        return list(self.function.on_interval("key", self.chunks, self.fill, self.end))

    def finish(self) -> list[Sealed]:
        if self.end.at is None:
            return []
        self.end.at = None
        return list(self.function.on_end("key", self.chunks, self.fill, self.interval))

    def snapshot(self) -> "Key":
        return Key(self.function, self.clock, *copy.deepcopy((self.chunks, self.fill, self.interval, self.end)))


def key(size_bytes: int, interval_ms: int) -> Key:
    clock = ManualClock()
    return Key(BufferFn(Hints(size_bytes, interval_ms), clock, "buffer"), clock)


def numbers(sealed: list[Sealed]) -> list[int]:
    return [
        int(number)
        for buffer in sealed
        for held in buffer.chunks
        for number in held.rows().column("hydrant:sequence_number").to_pylist()
    ]


def test_a2_2_size_alone_delivers() -> None:
    buffer = key(100, 900_000)
    assert buffer.put(chunk(1, 60)) == []
    (sealed,) = buffer.put(chunk(2, 40))
    assert (sealed.reason, sealed.raw_bytes, numbers([sealed])) == (SIZE, 100, [1, 2])
    assert buffer.interval.at is None
    assert buffer.end.at is None


def test_a2_2_size_counts_raw_bytes_not_what_is_stored() -> None:
    buffer = key(10_000, 900_000)
    compressible = chunk(1, 10_000)
    assert len(compressible.ipc) < 5_000
    (sealed,) = buffer.put(compressible)
    assert sealed.reason == SIZE


def test_a2_2_interval_alone_delivers_counted_from_the_first_record() -> None:
    buffer = key(MIB, 60_000)
    buffer.put(chunk(1, 10))
    buffer.clock.advance(59)
    buffer.put(chunk(2, 10))
    assert buffer.tick() == []
    buffer.clock.advance(1)
    (sealed,) = buffer.tick()
    assert (sealed.reason, numbers([sealed])) == (INTERVAL, [1, 2])


def test_a2_2_an_empty_buffer_delivers_nothing() -> None:
    buffer = key(MIB, 1_000)
    buffer.put(chunk(1, 10))
    buffer.clock.advance(1)
    assert len(buffer.tick()) == 1
    buffer.clock.advance(10)
    assert buffer.tick() == []
    assert buffer.finish() == []


def test_a2_2_the_interval_starts_anew_after_a_flush_by_size() -> None:
    buffer = key(100, 60_000)
    buffer.put(chunk(1, 10))
    buffer.clock.advance(50)
    assert len(buffer.put(chunk(2, 90))) == 1
    buffer.put(chunk(3, 10))
    buffer.clock.advance(59)
    assert buffer.tick() == []
    buffer.clock.advance(1)
    assert numbers(buffer.tick()) == [3]


def test_a2_5_zero_buffering_waits_a_second_not_a_page() -> None:
    assert Hints.of(5, 0) == Hints(5 * MIB, ZERO_BUFFERING_MS)


def test_a2_1_hints_are_mib_and_seconds() -> None:
    assert Hints.of(128, 300) == Hints(134_217_728, 300_000)
    assert Hints.of(0.2, 60).size_bytes == 209_715


def test_the_end_of_input_delivers_at_once() -> None:
    buffer = key(MIB, 900_000)
    buffer.put(chunk(1, 10))
    (sealed,) = buffer.finish()
    assert sealed.reason == END
    assert buffer.interval.at is None


def test_a7_3_the_oldest_arrival_of_a_sealed_buffer() -> None:
    sealed = Sealed("key", (chunk(7, 1), chunk(3, 1)), END)
    assert sealed.oldest_arrival_ms == 1_003


def test_a_chunk_survives_its_coder() -> None:
    before = chunk(5, 100)
    assert ChunkCoder().decode(ChunkCoder().encode(before)) == before


@given(sizes=st.lists(st.integers(0, 200), min_size=1, max_size=4), key=st.text(max_size=9))
def test_a_sealed_buffer_survives_its_coder(sizes: list[int], key: str) -> None:
    before = Sealed(key, tuple(chunk(n + 1, size) for n, size in enumerate(sizes)), END, 7, 1_007)
    assert SealedCoder().decode(SealedCoder().encode(before)) == before


@given(
    steps=st.lists(
        st.one_of(
            st.integers(0, 200).map(lambda size: ("put", size)),
            st.integers(0, 90).map(lambda seconds: ("wait", seconds)),
            st.just(("crash", 0)),
            st.just(("commit", 0)),
        ),
        max_size=60,
    ),
    size_bytes=st.integers(1, 500),
    interval_s=st.integers(1, 60),
)
def test_any_interleaving_loses_nothing_doubles_nothing_and_keeps_order(
    steps: list[tuple[str, int]], size_bytes: int, interval_s: int
) -> None:
    """A crash throws away everything since the last commit (state, timers, output), and the input is sent again."""
    buffer = key(size_bytes, interval_s * 1000)
    committed, committed_out, uncommitted_in = buffer.snapshot(), 0, []
    out: list[Sealed] = []
    sent = 0
    for step, amount in steps:
        if step == "put":
            sent += 1
            uncommitted_in.append(chunk(sent, amount))
            out += buffer.put(uncommitted_in[-1])
        elif step == "wait":
            buffer.clock.advance(amount)
            out += buffer.tick()
            held = Fill() if buffer.fill.value is None else buffer.fill
            assert buffer.interval.at is None or buffer.interval.at > buffer.clock.now_ms() / 1000, held
        elif step == "commit":
            committed, committed_out, uncommitted_in = buffer.snapshot(), len(out), []
        else:
            buffer = committed.snapshot()
            del out[committed_out:]
            for again in uncommitted_in:
                out += buffer.put(again)
        assert sum(c.raw_bytes for c in buffer.chunks.items) < size_bytes
    out += buffer.finish()
    assert numbers(out) == list(range(1, sent + 1))
    assert all(sealed.raw_bytes >= size_bytes for sealed in out if sealed.reason == SIZE)


@pytest.mark.parametrize("reason", [SIZE, INTERVAL, END])
def test_state_is_empty_after_every_kind_of_flush(reason: str) -> None:
    buffer = key(100, 1_000)
    buffer.put(chunk(1, 10))
    if reason == SIZE:
        out = buffer.put(chunk(2, 100))
    elif reason == INTERVAL:
        buffer.clock.advance(1)
        out = buffer.tick()
    else:
        out = buffer.finish()
    assert [sealed.reason for sealed in out] == [reason]
    assert buffer.chunks.items == []
    assert buffer.fill.value is None
    assert buffer.interval.at is None
    assert buffer.end.at is None

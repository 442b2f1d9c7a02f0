"""The sink's core: every record written or failed once, order per partition key, limits, back-off, resharding.

A stream in memory answers the producer's requests: it takes, refuses, loses answers, takes late, splits and merges, by
the dice of the test.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kinesis import producer as producers
from pipelines.kinesis.aggregation_format import hash_key, unseal
from pipelines.kinesis.lane import Entry
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.outcome import MISPLACED
from pipelines.kinesis.producer import Producer
from pipelines.kinesis.put import Placed, Record, Refusal
from pipelines.kinesis.shard_map import ShardMap

MIB = 1 << 20
THROTTLED = Refusal("ProvisionedThroughputExceededException", "Rate exceeded")
FAILURE = Refusal("InternalFailure", "Internal service failure.")


@dataclass
class Shard:
    first: int
    last: int
    is_open: bool = True


@dataclass
class Stream:
    """Shards by number, and what was put, in the order of arrival: (shard id, sequence number, record as put)."""

    shards: list[Shard] = field(default_factory=list)
    log: list[tuple[str, int, Record]] = field(default_factory=list)

    @classmethod
    def even(cls, count):
        bounds = [2**128 * number // count for number in range(count + 1)]
        return cls([Shard(first, last - 1) for first, last in pairwise(bounds)])

    def map(self):
        return ShardMap(
            ShardInfo(f"shardId-{number}", (), not shard.is_open, (shard.first, shard.last))
            for number, shard in enumerate(self.shards)
        )

    def put(self, record):
        key = hash_key(record.partition_key) if record.explicit_hash_key is None else int(record.explicit_hash_key)
        (number,) = [n for n, shard in enumerate(self.shards) if shard.is_open and shard.first <= key <= shard.last]
        self.log.append((f"shardId-{number}", len(self.log), record))
        return Placed(f"shardId-{number}", str(len(self.log) - 1))

    def split(self, number):
        shard = self.shards[number]
        middle = (shard.first + shard.last) // 2
        shard.is_open = False
        self.shards += [Shard(shard.first, middle), Shard(middle + 1, shard.last)]

    def merge(self, one, other):
        low, high = sorted((self.shards[one], self.shards[other]), key=lambda shard: shard.first)
        low.is_open = high.is_open = False
        self.shards.append(Shard(low.first, high.last))

    def reshard(self, dice):
        open_ = sorted((s.first, n) for n, s in enumerate(self.shards) if s.is_open)
        at = dice.randrange(len(open_))
        if at and dice.random() < 0.5:
            self.merge(open_[at - 1][1], open_[at][1])
        else:
            self.split(open_[at][1])

    def read(self):
        """What a reader sees that drops records of aggregates outside of their shard: rows of `written`, and data."""
        seen = []
        for shard_id, number, record in self.log:
            shard = self.shards[int(shard_id.removeprefix("shardId-"))]
            users = unseal(record.data)
            if users is None:
                seen.append((record.partition_key, str(number), 0, shard_id, record.data))
                continue
            rows = zip(users.partition_keys, users.data, users.hash_keys(), strict=True)
            for place, (key, data, hashed) in enumerate(rows):
                if shard.first <= hashed <= shard.last:
                    seen.append((key, str(number), place, shard_id, data))
        return seen


def new(ordered=True, aggregation_max_bytes=None, retry_s=60.0, jitter=lambda limit_s: limit_s):
    return Producer(ordered=ordered, aggregation_max_bytes=aggregation_max_bytes, retry_s=retry_s, jitter=jitter)


def routed(stream, max_record_bytes=MIB, **options):
    producer = new(**options)
    producer.route(stream.map(), max_record_bytes, 0.0)
    return producer


def rows(written):
    return list(
        zip(written.partition_key, written.sequence_number, written.sub_sequence_number, written.shard_id, strict=True)
    )


@dataclass
class Luck:
    """How often what goes wrong."""

    refused: float
    call_fails: float
    answer_lost: float
    reshards: float


class Play:
    """Runs a producer against a stream to the end, several requests at once, in any order."""

    def __init__(self, stream, producer, dice, luck, max_record_bytes=MIB):
        self.stream, self.producer, self.dice, self.luck = stream, producer, dice, luck
        self.max_record_bytes = max_record_bytes
        self.now_s = 0.0
        self.under_way = []
        self.late = []
        self.attempts = Counter()
        self.written, self.failed = [], []

    def add(self, record):
        while self.producer.needs_shards:
            self.producer.route(self.stream.map(), self.max_record_bytes, self.now_s)
        self.producer.add(record)
        if self.dice.random() < 0.3:
            self.step(flush=False)

    def flush(self):
        while not self.producer.is_idle:
            self.step(flush=True)
        assert self.producer.pause_s(self.now_s) is None
        assert not self.under_way

    def step(self, *, flush):
        self.now_s += self.dice.random() * 0.1
        if self.dice.random() < self.luck.reshards:
            self.stream.reshard(self.dice)
        if self.late and self.dice.random() < 0.3:
            self.take(self.late.pop(0))
        request = self.producer.next_request(self.now_s, flush=flush)
        if request is not None:
            self.check(request)
            self.under_way.append(request)
            for entry in request.entries:
                self.attempts.update(record.data for record in entry.records)
        if self.under_way and (request is None or self.dice.random() < 0.5 or len(self.under_way) > 3):
            self.answer(self.under_way.pop(self.dice.randrange(len(self.under_way))))
        elif self.producer.needs_shards:
            self.producer.route(self.stream.map(), self.max_record_bytes, self.now_s)
        elif request is None and flush:
            self.now_s += self.producer.pause_s(self.now_s) or 0.0
        self.collect()

    def take(self, request):
        results = []
        for entry in request.entries:
            refused = self.dice.random() < self.luck.refused
            results.append(self.dice.choice((THROTTLED, FAILURE)) if refused else self.stream.put(entry.put))
        return results

    def answer(self, request):
        count = len(list(request.entries))
        roll = self.dice.random()
        if roll < self.luck.call_fails:
            results = [self.dice.choice((THROTTLED, FAILURE))] * count
        elif roll < self.luck.call_fails + self.luck.answer_lost:
            if self.dice.random() < 0.5:
                self.take(request)
            else:
                self.late.append(request)  # it is on its way still
            results = [Refusal("NoAnswer", "lost")] * count
        else:
            results = self.take(request)
        self.now_s += self.dice.random() * 0.2
        self.producer.answered(request, results, self.now_s)

    def collect(self):
        self.written += rows(self.producer.take_written())
        self.failed += self.producer.take_failed()

    def check(self, request):
        """The limits of a request (B1, B2), and what order asks of it."""
        entries = list(request.entries)
        assert 1 <= len(entries) <= 500
        assert sum(len(e.put.data) + len(e.put.partition_key.encode()) for e in entries) <= 10 * MIB
        assert all(e.put.size <= self.max_record_bytes for e in entries)
        if self.producer._ordered:
            here = [{record.partition_key for record in entry.records} for entry in entries]
            there = [{r.partition_key for e in other.entries for r in e.records} for other in self.under_way]
            keys = [key for some in here + there for key in some]
            assert len(keys) == len(set(keys))


def firsts(seen):
    """Per key, the data of the first copies, in order."""
    found = defaultdict(list)
    known = set()
    for key, _, _, _, data in seen:
        if data not in known:
            known.add(data)
            found[key].append(data)
    return found


lucks = st.builds(
    Luck,
    refused=st.sampled_from([0.0, 0.02, 0.3, 0.8]),
    call_fails=st.sampled_from([0.0, 0.1, 0.5]),
    answer_lost=st.sampled_from([0.0, 0.1, 0.4]),
    reshards=st.sampled_from([0.0, 0.02, 0.2]),
)


@given(
    count=st.integers(1, 250),
    keys=st.integers(1, 30),
    shards=st.integers(1, 5),
    ordered=st.booleans(),
    aggregation_max_bytes=st.sampled_from([None, None, 60, 300, 5000]),
    named=st.booleans(),
    retry_s=st.sampled_from([0.5, 5.0, 1000.0]),
    luck=lucks,
    seed=st.integers(0, 2**32),
)
@settings(max_examples=250, deadline=None)
def test_b2_b5_every_record_is_written_or_failed_once_in_order_whatever_happens(
    count, keys, shards, ordered, aggregation_max_bytes, named, retry_s, luck, seed
):
    dice = random.Random(seed)
    stream = Stream.even(shards)
    jitter = lambda limit_s: dice.random() * limit_s  # noqa: E731
    producer = new(ordered, aggregation_max_bytes, retry_s, jitter)
    play = Play(stream, producer, dice, luck)
    given_ = []
    for number in range(count):
        key = f"key-{dice.randrange(keys)}"
        record = Record(b"%d" % number, key, dedup_key=f"name-{number}" if named else None)
        given_.append(record)
        play.add(record)
        if dice.random() < 0.02:
            play.flush()
    play.flush()

    # Each record once, in one of the two.
    seen = stream.read()
    where = {row[:4]: row[4] for row in seen}
    assert len(set(play.written)) == len(play.written)
    written = [where[row] for row in play.written]  # that it is written is true
    failed = [failure.record for failure in play.failed]
    assert sorted(written + [record.data for record in failed]) == sorted(record.data for record in given_)
    for failure in play.failed:
        assert failure.record in given_
        assert failure.attempts == play.attempts[failure.record.data]
    if not ordered:
        return

    # The first copies of what was written are in order.
    order = {record.data: number for number, record in enumerate(given_)}
    is_written = set(written)
    for copies in firsts(seen).values():
        numbers = [order[data] for data in copies if data in is_written]
        assert numbers == sorted(numbers)


@given(
    sizes=st.lists(st.integers(0, 6 * MIB), max_size=12),
    small=st.integers(0, 1200),
    ordered=st.booleans(),
    refused=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_b1_b2_requests_hold_the_limits_with_records_of_any_size(sizes, small, ordered, refused, seed):
    dice = random.Random(seed)
    stream = Stream.even(3)
    play = Play(stream, new(ordered), dice, Luck(refused, 0.0, 0.0, 0.0), max_record_bytes=5 * MIB)
    records = [Record(bytes(size), f"big-{number}") for number, size in enumerate(sizes)]
    records += [Record(b"%d" % number, f"key-{number % 700}") for number in range(small)]
    dice.shuffle(records)
    for record in records:
        play.add(record)
    play.flush()
    too_large = [record for record in records if record.size > 5 * MIB]
    assert [failure.record for failure in play.failed] == too_large
    assert {(f.error_code, f.attempts) for f in play.failed} <= {("ValidationException", 0)}
    assert len(stream.log) == len(play.written) == len(records) - len(too_large)


def test_b2_requests_hold_ten_mib_within_a_shard_and_across_shards():
    for shards in (1, 4):
        stream = Stream.even(shards)
        producer = routed(stream, max_record_bytes=10 * MIB, ordered=False)
        for number in range(12):
            producer.add(Record(bytes(3 * MIB), f"key-{number % 4}", str(2**126 * (number % 4))))
        producer.add(Record(bytes(10 * MIB - 3), "key"))
        sizes = []
        while not producer.is_idle:
            for request in requests_of(producer):
                sizes.append(sorted(len(data) // MIB for data in data_of(request)))
                producer.answered(request, put_all(stream, request), 0.0)
        assert sorted(sizes) == [[3, 3, 3]] * 4 + [[9]]


def requests_of(producer, now_s=0.0, flush=True):
    """Every request that can be made now."""
    made = []
    while (request := producer.next_request(now_s, flush=flush)) is not None:
        made.append(request)
    return made


def data_of(request):
    return [entry.put.data for entry in request.entries]


def keys_of(request):
    return [entry.put.partition_key for entry in request.entries]


def put_all(stream, request):
    return [stream.put(entry.put) for entry in request.entries]


def test_b2_ordered_sends_one_record_of_a_key_at_a_time():
    stream = Stream.even(1)
    producer = routed(stream)
    for number in range(3):
        for key in "ab":
            producer.add(Record(b"%d" % number, key))
    for number in range(3):
        (request,) = requests_of(producer)  # and no other beside it
        assert sorted(keys_of(request)) == ["a", "b"]
        assert data_of(request) == [b"%d" % number] * 2
        producer.answered(request, put_all(stream, request), 0.0)
    assert producer.is_idle


def test_b2_a_key_with_a_refused_record_waits_and_others_go_on():
    stream = Stream.even(1)
    producer = routed(stream)
    for number in range(2):
        for key in "ab":
            producer.add(Record(b"%d" % number, key))
    (request,) = requests_of(producer)
    first = keys_of(request).index("a")
    results = put_all(stream, request)
    results[first] = THROTTLED
    producer.answered(request, results, 0.0)
    assert requests_of(producer, 0.0) == []
    assert producer.pause_s(0.0) == pytest.approx(0.1)
    (request,) = requests_of(producer, 0.2)
    assert sorted(zip(keys_of(request), data_of(request), strict=True)) == [("a", b"0"), ("b", b"1")]


def test_unordered_fills_requests_and_puts_refused_records_first():
    stream = Stream.even(1)
    producer = routed(stream, ordered=False)
    for number in range(1200):
        producer.add(Record(b"%d" % number, "a"))
    (request,) = requests_of(producer)
    assert data_of(request) == [b"%d" % number for number in range(500)]
    results = put_all(stream, request)
    results[7] = results[3] = THROTTLED
    producer.answered(request, results, 0.0)
    (request,) = requests_of(producer, 1.0)
    assert data_of(request) == [b"3", b"7"] + [b"%d" % number for number in range(500, 998)]


def test_b16_ordered_sends_one_aggregate_of_a_shard_at_a_time():
    stream = Stream.even(1)
    producer = routed(stream, aggregation_max_bytes=200)
    for number in range(30):
        producer.add(Record(b"%02d" % number, "abc"[number % 3]))
    sent = []
    while not producer.is_idle:
        (request,) = requests_of(producer)
        (entry,) = request.entries
        assert entry.put.size <= 200
        sent += unseal(entry.put.data).data
        producer.answered(request, put_all(stream, request), 0.0)
    assert sent == [b"%02d" % number for number in range(30)]
    assert 2 <= len(stream.log) <= 6
    subs = producer.take_written().sub_sequence_number
    assert subs[0] == 0
    assert all(after in (0, before + 1) for before, after in pairwise(subs))


def test_b16_a_record_alone_goes_as_it_is_unless_it_has_a_name():
    stream = Stream.even(1)
    for options in ({}, {"aggregation_max_bytes": 1000}):
        producer = routed(stream, **options)
        plain, named = Record(b"plain", "a"), Record(b"named", "b", dedup_key="n")
        for record in (plain, named):
            producer.add(record)
            (request,) = requests_of(producer)
            (entry,) = request.entries
            if record is plain:
                assert entry.put == plain
            else:
                assert entry.put.partition_key == "b"
                users = unseal(entry.put.data)
                assert (users.data, users.dedup_keys()) == ([b"named"], ["n"])
            producer.answered(request, put_all(stream, request), 0.0)


def test_b16_a_record_that_fits_no_aggregate_keeps_its_place():
    stream = Stream.even(1)
    producer = routed(stream, aggregation_max_bytes=300)
    sizes = [50, 50, 290, 50, 50]
    for number, size in enumerate(sizes):
        producer.add(Record(b"%d" % number + bytes(size), "a"))
    while not producer.is_idle:
        (request,) = requests_of(producer)
        producer.answered(request, put_all(stream, request), 0.0)
    assert [int(row[4][:1]) for row in stream.read()] == [0, 1, 2, 3, 4]
    assert [unseal(record.data) is None for _, _, record in stream.log] == [False, True, False]


def test_b16_aggregates_are_no_larger_than_the_streams_records():
    stream = Stream.even(1)
    producer = routed(stream, max_record_bytes=500, aggregation_max_bytes=10_000)
    for number in range(100):
        producer.add(Record(b"%d" % number, "a"))
    (request,) = requests_of(producer)
    assert [entry.put.size <= 500 for entry in request.entries] == [True]
    assert len(unseal(data_of(request)[0]).data) > 20


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (Record(bytes(MIB), "k"), "ValidationException"),
        (Record(bytes(MIB - 1), "ä"), "ValidationException"),
        (Record(bytes(MIB - 1), "k", dedup_key="n"), "ValidationException"),
        (Record(b"", ""), "ValidationException"),
        (Record(b"", "k" * 257), "ValidationException"),
        (Record(b"", "\ud800"), "ValidationException"),
        (Record(b"", "k", str(2**128)), "InvalidArgumentException"),
        (Record(b"", "k", "007"), "InvalidArgumentException"),
        (Record(b"", "k", "-1"), "InvalidArgumentException"),
    ],
    ids=["large", "large-with-key", "large-with-name", "no-key", "long-key", "no-text", "beyond", "zeros", "negative"],
)
@pytest.mark.parametrize("aggregation_max_bytes", [None, 1000])
def test_b1_b3_what_aws_would_refuse_fails_alone_without_being_sent(record, code, aggregation_max_bytes):
    stream = Stream.even(2)
    producer = routed(stream, aggregation_max_bytes=aggregation_max_bytes)
    neighbours = [Record(b"1", "k"), Record(b"2", "k", str(2**128 - 1)), Record(bytes(MIB - 256), "k" * 256)]
    for each in (neighbours[0], record, *neighbours[1:]):
        producer.add(each)
    (failure,) = producer.take_failed()
    assert (failure.record, failure.error_code, failure.attempts) == (record, code, 0)
    assert failure.error_message
    while not producer.is_idle:
        for request in requests_of(producer):
            producer.answered(request, put_all(stream, request), 0.0)
    assert sorted(row[4] for row in stream.read()) == sorted(each.data for each in neighbours)


def test_b3_explicit_hash_key_leads_to_its_shard():
    stream = Stream.even(4)
    producer = routed(stream)
    for number in range(4):
        producer.add(Record(b"", "k", str(2**126 * number)))
        producer.add(Record(b"", "k", str(2**126 * (number + 1) - 1)))
    while not producer.is_idle:
        (request,) = requests_of(producer)
        producer.answered(request, put_all(stream, request), 0.0)
    assert Counter(row[3] for row in stream.read()) == {f"shardId-{number}": 2 for number in range(4)}
    assert not producer.needs_shards  # each was where it was meant to be


def test_b6_a_hot_shard_backs_off_alone():
    stream = Stream.even(2)
    producer = routed(stream)
    keys = {shard_id: [] for shard_id in stream.map().open_shards}
    for number in range(50):
        record = Record(b"", f"key-{number}")
        keys[stream.map().shard_of(record)].append(record.partition_key)
        producer.add(record)
    hot, cold = keys.values()
    now_s, pauses = 0.0, []
    for _ in range(12):
        made = requests_of(producer, now_s)
        for request in made:
            results = [THROTTLED if key in hot else Placed("shardId-1", "1") for key in keys_of(request)]
            producer.answered(request, results, now_s)
        producer.add(Record(b"", cold[0]))
        assert producer.pause_s(now_s) == 0.0  # for the cold one
        (request,) = requests_of(producer, now_s)
        assert keys_of(request) == [cold[0]]
        producer.answered(request, [Placed("shardId-1", "1")], now_s)
        pauses.append(producer.pause_s(now_s))
        now_s += pauses[-1]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5, 5, 5])


def test_b6_pauses_have_full_jitter_and_shrink_while_a_shard_takes_the_most(monkeypatch):
    limits = []
    monkeypatch.setattr(producers.random, "uniform", lambda low, high: limits.append((low, high)) or high)
    stream = Stream.even(1)
    producer = Producer(ordered=False, aggregation_max_bytes=None, retry_s=60.0)
    producer.route(stream.map(), MIB, 0.0)
    for number in range(400):
        producer.add(Record(b"%d" % number, "k"))
    now_s = 0.0
    for taken in (0, 0, 100, 200, 50, 26, 24):  # of 400, 400, 400, 300, 100, 50, 24
        (request,) = requests_of(producer, now_s)
        entries = list(request.entries)
        refused = [THROTTLED] * (len(entries) - taken)
        producer.answered(request, [stream.put(e.put) for e in entries[:taken]] + refused, now_s)
        now_s += 10
    assert producer.is_idle
    assert {low for low, _ in limits} == {0}
    assert [high for _, high in limits] == pytest.approx([0.1, 0.2, 0.4, 0.2, 0.1, 0.1])


AT_ONCE = {"jitter": lambda _: 0.0}


def refuse(producer, now_s, why=THROTTLED, only=lambda record: True):
    """Answers what can be sent now: refused where `only` says so, else taken."""
    for request in requests_of(producer, now_s):
        producer.answered(
            request,
            [
                why if only(entry.records[0]) else Placed(lane.shard_id, "1")
                for lane, es in request.parts
                for entry in es
            ],
            now_s,
        )


def test_a_record_is_given_up_at_a_refusal_after_the_retry_budget():
    producer = routed(Stream.even(1), retry_s=10.0, ordered=False, **AT_ONCE)
    producer.add(Record(b"poison", "a"))
    now_s, attempts = 0.0, 0
    while not (failed := producer.take_failed()):
        producer.add(Record(b"other", "b"))  # the shard takes others all the time
        refuse(producer, now_s, FAILURE, only=lambda record: record.data == b"poison")
        attempts += 1
        assert now_s <= 10.0
        now_s += 1.0
    assert now_s == 11.0
    (failure,) = failed
    assert (failure.record.data, failure.error_code, failure.error_message, failure.attempts) == (
        b"poison",
        FAILURE.code,
        FAILURE.message,
        attempts,
    )
    assert attempts == 11


def test_all_that_waits_for_a_shard_that_takes_nothing_is_given_up_and_later_records_get_their_own_time():
    producer = routed(Stream.even(1), retry_s=10.0, **AT_ONCE)
    for number in range(3):
        producer.add(Record(b"%d" % number, "a"))
    for second in range(10):
        refuse(producer, float(second))
        assert producer.take_failed() == []
    refuse(producer, 10.0)
    assert [(f.record.data, f.error_code, f.attempts) for f in producer.take_failed()] == [
        (b"0", THROTTLED.code, 11),
        (b"1", THROTTLED.code, 0),
        (b"2", THROTTLED.code, 0),
    ]
    assert producer.is_idle
    producer.add(Record(b"3", "a"))
    refuse(producer, 11.0)
    refuse(producer, 20.9)
    assert producer.take_failed() == []
    refuse(producer, 21.0)
    assert [f.record.data for f in producer.take_failed()] == [b"3"]


def test_what_a_shard_refuses_at_last_fails_with_its_own_code():
    producer = routed(Stream.even(1), retry_s=10.0, **AT_ONCE)
    producer.add(Record(b"throttled", "a"))
    refuse(producer, 0.0)
    producer.add(Record(b"faulty", "b"))
    producer.add(Record(b"throttled too", "c"))
    (request,) = requests_of(producer, 10.0)
    producer.answered(request, [FAILURE if key == "b" else THROTTLED for key in keys_of(request)], 10.0)
    assert {f.record.data: (f.error_code, f.attempts) for f in producer.take_failed()} == {
        b"throttled": (THROTTLED.code, 2),
        b"faulty": (FAILURE.code, 1),
        b"throttled too": (THROTTLED.code, 1),
    }


def test_b4_ranges_include_their_ends():
    shards = Stream.even(2).map()
    ends = [str(end) for end in (0, 2**127 - 1, 2**127, 2**128 - 1)]
    assert [shards.shard_of(Record(b"", "k", end)) for end in ends] == ["shardId-0"] * 2 + ["shardId-1"] * 2
    assert [shards.holds("shardId-0", Record(b"", "k", end)) for end in ends] == [True, True, False, False]
    assert [shards.holds("shardId-1", Record(b"", "k", end)) for end in ends] == [False, False, True, True]
    assert not any(shards.holds("shardId-9", Record(b"", "k", end)) for end in ends)


def test_a_shard_that_takes_something_stalls_nothing():
    producer = routed(Stream.even(1), retry_s=10.0, **AT_ONCE)
    for second in range(40):
        producer.add(Record(b"%d" % second, f"key-{second}"))
        refuse(producer, float(second), only=lambda record, second=second: int(record.data) > second - 5)
    assert producer.take_failed() == []
    assert producer.take_retries() > 100


def meant_for(stream, shard_id, count=40, prefix="key"):
    keys = (f"{prefix}-{number}" for number in range(1000))
    return [r for key in keys if stream.map().shard_of(r := Record(key.encode(), key)) == shard_id][:count]


def test_b11_reshard_of_plain_records_puts_nothing_twice_and_asks_for_the_shards_once():
    stream = Stream.even(1)
    producer = routed(stream)
    records = meant_for(stream, "shardId-0")
    for record in records:
        producer.add(record)
    (request,) = requests_of(producer)
    stream.split(0)
    for record in records:
        producer.add(Record(b"later", record.partition_key))
    producer.answered(request, put_all(stream, request), 5.0)
    assert requests_of(producer, 5.0) == []
    assert producer.pause_s(5.0) is None
    assert producer.needs_shards
    producer.route(stream.map(), MIB, 5.0)
    for request in requests_of(producer, 5.0):
        assert {lane.shard_id for lane, _ in request.parts} <= {"shardId-1", "shardId-2"}
        producer.answered(request, put_all(stream, request), 5.0)
    assert producer.is_idle
    assert not producer.needs_shards
    assert len(stream.log) == 2 * len(records)


def test_b16_aggregate_that_a_reshard_carried_away_is_put_again_where_it_belongs_before_later_records():
    stream = Stream.even(1)
    producer = routed(stream, aggregation_max_bytes=100_000)
    records = meant_for(stream, "shardId-0")
    for record in records:
        producer.add(record)
    (request,) = requests_of(producer)
    stream.split(0)
    for record in records:
        producer.add(Record(b"later", record.partition_key))
    producer.answered(request, put_all(stream, request), 5.0)
    assert rows(producer.take_written()) == []  # where they belong is not known yet
    producer.route(stream.map(), MIB, 5.0)
    at_once = rows(producer.take_written())
    assert 0 < len(at_once) < len(records)
    while not producer.is_idle:
        for request in requests_of(producer, 5.0):
            producer.answered(request, put_all(stream, request), 5.0)
    seen = stream.read()
    assert len(at_once + rows(producer.take_written())) == len(seen) == 2 * len(records)
    for record in records:
        assert [row[4] for row in seen if row[0] == record.partition_key] == [record.data, b"later"]


def test_no_shard_is_sent_to_while_the_answer_of_another_request_is_out():
    stream = Stream.even(2)
    producer = routed(stream)
    one, other = meant_for(stream, "shardId-0", 500), meant_for(stream, "shardId-1", 500)
    for record in one + other:
        producer.add(record)
    first, second = requests_of(producer)
    producer.answered(first, [Placed("shardId-9", "1")] * len(list(first.entries)), 9.0)
    assert not producer.needs_shards
    assert requests_of(producer, 9.0) == []
    producer.answered(second, put_all(stream, second), 9.0)
    assert producer.needs_shards


def test_answers_that_name_unknown_shards_do_not_list_shards_all_the_time():
    stream = Stream.even(1)
    producer = routed(stream)
    for tenth in range(30):
        producer.add(Record(b"", "a"))
        (request,) = requests_of(producer, tenth / 10)
        producer.answered(request, [Placed("shardId-9", "1")], tenth / 10)
        assert producer.needs_shards == (tenth in (10, 20))
        if producer.needs_shards:
            producer.route(stream.map(), MIB, tenth / 10)
    assert producer.is_idle


def test_b16_aggregate_that_never_lands_where_it_belongs_fails_in_the_end():
    stream = Stream.even(1)
    producer = routed(stream, aggregation_max_bytes=1000, retry_s=3.0)
    producer.add(Record(b"1", "a"))
    producer.add(Record(b"2", "b"))
    for second in range(4):
        (request,) = requests_of(producer, float(second))
        producer.answered(request, [Placed("shardId-9", "1")], float(second))
        producer.route(stream.map(), MIB, float(second))
    assert [(f.record.data, f.error_code, f.attempts) for f in producer.take_failed()] == [
        (b"1", MISPLACED, 4),
        (b"2", MISPLACED, 4),
    ]
    assert producer.is_idle


def test_requests_that_are_not_worth_it_wait_for_more():
    stream = Stream.even(4)
    producer = routed(stream)
    for number in range(499):
        producer.add(Record(b"", f"key-{number}"))
    assert requests_of(producer, flush=False) == []
    producer.add(Record(b"", "key-499"))
    (request,) = requests_of(producer, flush=False)
    assert len(request.parts) == 4  # of as many shards as it takes
    assert len(data_of(request)) == 500
    producer.answered(request, put_all(stream, request), 0.0)
    producer.add(Record(bytes(600_000), "large"))
    assert len(requests_of(producer, flush=False)) == 1


def test_memory_held_is_counted_until_the_end_of_each_record():
    stream = Stream.even(1)
    producer = routed(stream, aggregation_max_bytes=5000)
    for number in range(100):
        producer.add(Record(bytes(100), f"key-{number}"))
    assert producer.held_bytes >= 100 * 106
    (request,) = requests_of(producer)[:1]
    assert not producer.is_idle
    held = producer.held_bytes
    producer.answered(request, put_all(stream, request), 0.0)
    assert producer.held_bytes < held
    while not producer.is_idle:
        for request in requests_of(producer):
            producer.answered(request, put_all(stream, request), 0.0)
    assert producer.held_bytes == 0


def test_an_answer_of_another_length_is_not_taken_for_success():
    producer = routed(Stream.even(1))
    producer.add(Record(b"", "a"))
    (request,) = requests_of(producer)
    with pytest.raises(ValueError, match="0 results to 1 entries"):
        producer.answered(request, [], 0.0)


def test_entry_of_several_records_is_an_aggregate_of_them():
    records = [Record(b"1", "a"), Record(b"2", "b", "5")]
    entry = Entry.of(records)
    users = unseal(entry.put.data)
    assert (users.data, users.partition_keys, users.explicit_hash_keys) == ([b"1", b"2"], ["a", "b"], [None, "5"])
    assert entry.size == entry.put.size == len(entry.put.data) + 1

"""WriteToKinesis on a runner: each record once and in order through throttling, hot shards, splits and lost answers."""

import json
import time
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing import test_stream as streams
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from botocore.exceptions import ConnectionClosedError
from pages import Log, LogPages, ends_of, numbered
from stand_ins import KinesisStandIn

from pipelines.kinesis import KinesisRecord, ReadFromKinesis, producer, write
from pipelines.kinesis.aggregation import DEDUP_PAGE_SCHEMA, deaggregate
from pipelines.kinesis.dedup import RemoveDuplicates
from pipelines.kinesis.page import PAGE_SCHEMA, make_page
from pipelines.kinesis.put import Record
from pipelines.kinesis.put_call import PutRecordsCall
from pipelines.kinesis.write import BY_POSITION, WRITTEN_SCHEMA, WriteToKinesis
from pipelines.runtime.aws import client
from pipelines.runtime.errors import ConfigurationError, CredentialsError, NotFoundError
from pipelines.runtime.processes import Child, module

KEYS = [f"key-{number}" for number in range(20)]


class Keep(beam.DoFn):
    """Appends what `row_of` makes of each element to a file."""

    def __init__(self, path: Path, rows_of) -> None:
        self._path, self._rows_of = str(path), rows_of

    def process(self, element):
        with open(self._path, "ab", buffering=0) as file:
            for row in self._rows_of(element):
                file.write(json.dumps(row).encode() + b"\n")


def written_rows(batch):
    assert batch.schema == WRITTEN_SCHEMA
    return [
        [row["partition_key"], row["sequence_number"], row["sub_sequence_number"], row["shard_id"]]
        for row in batch.to_pylist()
    ]


def failed_rows(failed):
    return [[failed.record.data[:20].decode(), failed.error_code, failed.attempts]]


class Outcome:
    """What a pipeline that writes has said of its records, and what is in the stream."""

    def __init__(self, folder: Path) -> None:
        self._written, self._failed = folder / "written.jsonl", folder / "failed.jsonl"

    def of(self, elements, sink):
        result = elements | sink
        result.written | "KeepWritten" >> beam.ParDo(Keep(self._written, written_rows))
        result.failed | "KeepFailed" >> beam.ParDo(Keep(self._failed, failed_rows))

    @staticmethod
    def _rows(path):
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def written(self):
        return self._rows(self._written)

    def failed(self):
        return self._rows(self._failed)


@pytest.fixture
def outcome(tmp_path):
    return Outcome(tmp_path)


def writing(outcome, elements, stream, **options):
    def build(pipeline):
        outcome.of(pipeline | beam.Create(elements, reshuffle=False), WriteToKinesis(stream, **options))

    return build


def stored(kinesis, stream, *, dedup_keys=False):
    """The pages of `stream`, parents before children, de-aggregated as the KCL does."""
    pages = []
    for shard in kinesis.client.list_shards(StreamName=stream)["Shards"]:
        hash_range = tuple(int(shard["HashKeyRange"][f"{which}HashKey"]) for which in ("Starting", "Ending"))
        iterator = kinesis.client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = []
        while iterator:
            answer = kinesis.client.get_records(ShardIterator=iterator)
            records += answer["Records"]
            iterator = answer.get("NextShardIterator") if answer["MillisBehindLatest"] else None
        page = make_page(
            shard["ShardId"],
            [record["Data"] for record in records],
            [record["PartitionKey"] for record in records],
            [record["SequenceNumber"] for record in records],
            [round(record["ApproximateArrivalTimestamp"].timestamp() * 1000) for record in records],
        )
        pages.append(deaggregate(page, hash_range, dedup_keys=dedup_keys))
    return pages


def rows_of(pages):
    return pa.Table.from_batches(pages).to_pylist()


def by_key(rows):
    found = {}
    for row in rows:
        found.setdefault(row["partition_key"], []).append(row["data"])
    return found


def each_once(kinesis, stream, outcome, records, *, ordered=True):
    """Asserts that the stream holds exactly `records`, in order per key, and that `written` says where each is."""
    rows = rows_of(stored(kinesis, stream))
    assert Counter(row["data"] for row in rows) == Counter(record.data for record in records)
    if ordered:
        wanted = {}
        for record in records:
            wanted.setdefault(record.partition_key, []).append(record.data)
        assert by_key(rows) == wanted
    places = [
        [row["partition_key"], row["sequence_number"], row["sub_sequence_number"], row["shard_id"]] for row in rows
    ]
    assert sorted(outcome.written()) == sorted(places)
    assert outcome.failed() == []
    return rows


MODES = {
    "ordered": {},
    "unordered": {"ordered": False},
    "ordered-aggregated": {"aggregation_max_bytes": 300},
    "unordered-aggregated": {"ordered": False, "aggregation_max_bytes": 300},
}
modes = pytest.mark.parametrize("options", MODES.values(), ids=MODES)


@modes
def test_b2_records_of_all_kinds_are_put_each_once_in_order(kinesis, run, outcome, options):
    stream = kinesis.stream(4)
    records = numbered(KEYS, 0, 40)
    page = make_page("shardId-0", [b"page:0", b"page:1"], ["page", "page"], ["1", "2"], [0, 0])
    single = KinesisRecord(b"single:0", "single", "3", 0, "shardId-0", 0)
    elements = [*records, ("tuple", b"tuple:0"), page, single]
    run(writing(outcome, elements, stream, **options))
    rest = [Record(b"%s:0" % key.encode(), key) for key in ("tuple", "page", "single")] + [Record(b"page:1", "page")]
    rows = each_once(kinesis, stream, outcome, [*records, *rest], ordered=options.get("ordered", True))
    assert any(row["sub_sequence_number"] for row in rows) == ("aggregation_max_bytes" in options)


@modes
def test_b2_throttled_stream_takes_each_record_once_in_order(kinesis, run, outcome, options):
    stream = kinesis.stream(2)
    records = numbered(KEYS, 0, 30)
    kinesis.order({"throttle": {"fraction": 0.3, "seed": 5}})
    metrics = run(writing(outcome, records, stream, **options))["put"]
    kinesis.order({})
    each_once(kinesis, stream, outcome, records, ordered=options.get("ordered", True))
    assert metrics["retries"] >= 1
    assert metrics["records_in"] == metrics["records_out"] == len(records)


@modes
def test_b6_failing_calls_lose_and_double_nothing(kinesis, run, outcome, options):
    stream = kinesis.stream(2)
    records = numbered(KEYS, 0, 30)
    fail = [
        {"operation": "PutRecords", "code": code, "status": status, "times": 2}
        for code, status in (("ProvisionedThroughputExceededException", 400), ("InternalFailure", 500))
    ]
    listing = [{"operation": "ListShards", "code": "LimitExceededException", "times": 1}]
    kinesis.order({"fail": fail + listing, "drop": [{"operation": "PutRecords", "times": 2}]})
    run(writing(outcome, records, stream, **options))
    each_once(kinesis, stream, outcome, records, ordered=options.get("ordered", True))


def test_b6_hot_shard_does_not_hold_up_the_others(aws_environment, run, outcome):
    child = Child("a limited Kinesis", module("infra.embedded.kinesis_server", "--port", "0", "--limits", "aws"))
    try:
        aws_environment.setenv("AWS_ENDPOINT_URL_KINESIS", child.ready()["endpoint"])
        kinesis = KinesisStandIn(child.ready()["endpoint"])
        stream = kinesis.stream(2)
        hot = [Record(b"hot:%d" % number, "hot", "0") for number in range(3500)]  # a shard takes 1,000 in a second
        cold = [Record(b"cold:%d" % number, "cold", str(2**127)) for number in range(600)]
        run(writing(outcome, hot[:2000] + cold + hot[2000:], stream, ordered=False))
        rows = rows_of(stored(kinesis, stream))
    finally:
        child.stop()
    assert sorted(row["data"] for row in rows) == sorted(record.data for record in hot + cold)
    assert outcome.failed() == []
    arrivals = {key: [row["arrival_ms"] for row in rows if row["partition_key"] == key] for key in ("hot", "cold")}
    last_ms = max(arrivals["cold"])
    assert sum(ms > last_ms for ms in arrivals["hot"]) > 1000  # a second's worth


def test_b1_too_large_record_fails_and_its_neighbours_are_put(kinesis, run, outcome):
    stream = kinesis.stream()
    records = numbered(KEYS, 0, 3)
    too_large = Record(b"large" + bytes(1 << 20), "key-0")
    just_fits = Record(bytes((1 << 20) - 5), "key-0")
    metrics = run(writing(outcome, [*records[:20], too_large, *records[20:], just_fits], stream))
    assert outcome.failed() == [["large" + "\0" * 15, "ValidationException", 0]]
    rows = rows_of(stored(kinesis, stream))
    assert sorted(row["data"] for row in rows) == sorted(record.data for record in [*records, just_fits])
    assert metrics["put"]["failed"] == 1


def test_b1_largest_record_is_what_the_stream_says(kinesis, run, outcome):
    stream = kinesis.stream()
    arn = kinesis.client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    kinesis.client.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=2048)
    large = Record(b"large" + bytes(3 << 19), "key-0")
    run(writing(outcome, [large], arn))
    each_once(kinesis, stream, outcome, [large])


def test_records_are_given_up_after_the_retry_budget_with_awss_code(kinesis, run, outcome):
    stream = kinesis.stream(2)
    records = numbered(KEYS, 0, 3)
    kinesis.order({"throttle": {"fraction": 1.0}})
    begin = time.monotonic()
    run(writing(outcome, records, stream, retry_s=2.0))
    assert 2 <= time.monotonic() - begin < 30
    assert outcome.written() == []
    assert sorted(data for data, _, _ in outcome.failed()) == sorted(record.data.decode() for record in records)
    assert {code for _, code, _ in outcome.failed()} == {"ProvisionedThroughputExceededException"}
    attempts = [attempts for data, _, attempts in outcome.failed() if data.endswith(":0")]
    assert min(attempts) >= 2


class Resharding(beam.DoFn):
    """Number -> the records of a turn; at the numbers of `acts`, the stream is resharded before they are put."""

    def __init__(self, stream: str, acts) -> None:
        self._stream, self._acts = stream, acts

    def process(self, turn):
        if turn in self._acts:
            kinesis = client("kinesis")
            stand_in = KinesisStandIn(kinesis.meta.endpoint_url)
            stand_in.__dict__["client"] = kinesis
            shards = [shard["ShardId"] for shard in stand_in.open_shards(self._stream)]
            if self._acts[turn] == "split":
                stand_in.split(self._stream, shards[0])
            else:
                kinesis.merge_shards(StreamName=self._stream, ShardToMerge=shards[0], AdjacentShardToMerge=shards[1])
        yield from numbered(KEYS, 30 * turn, 30 * turn + 30)


@modes
def test_b11_split_and_merged_while_written_each_record_once_in_order(kinesis, run, outcome, monkeypatch, options):
    monkeypatch.setattr(producer, "_WORTH_BYTES", 3000)  # requests go out all along, so that some meet a reshard
    stream = kinesis.stream(1)
    acts = {2: "split", 4: "split", 6: "merge", 7: "split", 9: "merge"}

    def build(pipeline):
        turns = pipeline | beam.Create(list(range(11)), reshuffle=False)
        outcome.of(turns | beam.ParDo(Resharding(stream, acts)), WriteToKinesis(stream, **options))

    run(build)
    rows = each_once(kinesis, stream, outcome, numbered(KEYS, 0, 330), ordered=options.get("ordered", True))
    assert len({row["shard_id"] for row in rows}) >= 4
    if "aggregation_max_bytes" not in options:
        return
    # Aggregates that a split caught on their way were put again in parts: a reader that drops nothing sees that.
    every = [page for shard in stored_as_put(kinesis, stream) for page in [deaggregate(shard)]]
    assert len(rows_of(every)) > len(rows)


def stored_as_put(kinesis, stream):
    """The pages of `stream` with aggregates as they are."""
    found = []
    for shard in kinesis.client.list_shards(StreamName=stream)["Shards"]:
        iterator = kinesis.client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = kinesis.client.get_records(ShardIterator=iterator)["Records"]
        columns = [[record[name] for record in records] for name in ("Data", "PartitionKey", "SequenceNumber")]
        found.append(make_page(shard["ShardId"], *columns, [0] * len(records)))
    return found


def lose_answers(monkeypatch, *calls):
    """The answers to these calls of PutRecords, counted from 1, get lost on the way."""
    made, call = [], PutRecordsCall.__call__

    def losing(self, records):
        results = call(self, records)
        made.append(len(records))
        if len(made) in calls:
            raise ConnectionClosedError(endpoint_url="http://127.0.0.1:1")
        return results

    monkeypatch.setattr(PutRecordsCall, "__call__", losing)


@pytest.mark.parametrize("options", [{}, {"aggregation_max_bytes": 300}], ids=["alone", "aggregated"])
def test_b16_doubles_of_a_lost_answer_are_removed_by_their_names(kinesis, run, outcome, tmp_path, monkeypatch, options):
    stream = kinesis.stream(2)
    records = numbered(KEYS, 0, 40)
    lose_answers(monkeypatch, 1, 2, 4)
    run(writing(outcome, records, stream, dedup_key=lambda record: record.data.decode(), **options))
    pages = stored(kinesis, stream, dedup_keys=True)
    rows = rows_of(pages)
    assert len(rows) > len(records)
    assert {row["dedup_key"] for row in rows} == {record.data.decode() for record in records}
    assert len(outcome.written()) == len(records)

    log = Log(tmp_path)
    run(lambda pipeline: pipeline | beam.Create(pages) | RemoveDuplicates(60.0) | beam.ParDo(LogPages(log)))
    found = log.by_key()
    assert {key: [data.encode() for data in values] for key, values in found.items()} == {
        key: [b"%s:%d" % (key.encode(), number) for number in range(40)] for key in KEYS
    }


def test_copies_of_a_stream_are_named_by_position(kinesis, run, outcome):
    source, copy = kinesis.stream(2), kinesis.stream(3)
    kinesis.put(source, numbered(KEYS, 0, 20))
    pages = [page for page in stored(kinesis, source) if page.num_rows]
    run(writing(outcome, pages, copy, aggregation_max_bytes=10_000, dedup_key=BY_POSITION))
    rows = rows_of(stored(kinesis, copy, dedup_keys=True))
    positions = {
        row["data"]: f"{row['shard_id']}:{row['sequence_number']}:{row['sub_sequence_number']}"
        for row in rows_of(pages)
    }
    assert {row["data"]: row["dedup_key"] for row in rows} == positions
    assert len(rows) == len(positions)
    # Copied once more, the records keep their names.
    again = kinesis.stream()
    run(writing(outcome, stored(kinesis, copy, dedup_keys=True), again))
    assert {row["data"]: row["dedup_key"] for row in rows_of(stored(kinesis, again, dedup_keys=True))} == positions


def test_doubles_of_lost_answers_and_reshards_are_removed_behind_the_source(
    kinesis, run, outcome, tmp_path, monkeypatch
):
    monkeypatch.setattr(producer, "_WORTH_BYTES", 3000)
    lose_answers(monkeypatch, 1, 5, 9, 13)
    stream = kinesis.stream()
    log = Log(tmp_path)

    def write_all(pipeline):
        turns = pipeline | beam.Create(list(range(6)), reshuffle=False)
        records = turns | beam.ParDo(Resharding(stream, {1: "split", 2: "split", 3: "merge", 4: "split"}))
        sink = WriteToKinesis(stream, aggregation_max_bytes=2000, dedup_key=lambda record: record.data.decode())
        outcome.of(records, sink)

    run(write_all)
    assert len(rows_of(stored(kinesis, stream))) > 6 * 30 * len(KEYS)
    ends = {}
    for _, number, _, shard_id in sorted(outcome.written(), key=lambda row: int(row[1])):
        ends[shard_id] = number

    def read_all(pipeline):
        pages = pipeline | ReadFromKinesis(stream, until=ends, dedup_keys=True)
        pages | RemoveDuplicates(60.0, buckets=3) | beam.ParDo(LogPages(log))

    run(read_all)
    records = log.records()
    assert Counter(seen.data for seen in records) == Counter(f"{key}:{number}" for number in range(180) for key in KEYS)
    records.sort(key=lambda seen: int(seen.number))  # stable, so aggregates keep the order inside
    for key in KEYS:
        assert [seen.data for seen in records if seen.key == key] == [f"{key}:{number}" for number in range(180)]


@pytest.mark.parametrize("options", [{}, {"aggregation_max_bytes": 10_000}], ids=["alone", "aggregated"])
def test_b12_a_copy_keeps_each_keys_order_across_reshards_of_its_source(kinesis, run, outcome, options):
    source, copy = kinesis.stream(2), kinesis.stream(3)
    placed = kinesis.put(source, numbered(KEYS, 0, 40))
    kinesis.split(source, kinesis.open_shards(source)[0]["ShardId"])
    placed += kinesis.put(source, numbered(KEYS, 40, 80))
    one, other = (shard["ShardId"] for shard in kinesis.open_shards(source)[:2])
    kinesis.client.merge_shards(StreamName=source, ShardToMerge=one, AdjacentShardToMerge=other)
    placed += kinesis.put(source, numbered(KEYS, 80, 120))

    def build(pipeline):
        pages = pipeline | ReadFromKinesis(source, until=ends_of(placed))
        outcome.of(pages, WriteToKinesis(copy, dedup_key=BY_POSITION, **options))

    run(build)
    each_once(kinesis, copy, outcome, numbered(KEYS, 0, 120))


def test_results_are_in_the_global_window_whatever_the_elements_are_in(kinesis, run, outcome):
    stream = kinesis.stream()
    records = numbered(KEYS, 0, 10)

    def build(pipeline):
        elements = pipeline | beam.Create(records) | beam.Map(lambda record: TimestampedValue(record, 5.0))
        outcome.of(elements | beam.WindowInto(FixedWindows(10)), WriteToKinesis(stream))

    run(build)
    each_once(kinesis, stream, outcome, records, ordered=False)


def page_of(name, arrival_ms, shard_id="shardId-0"):
    page = make_page(shard_id, [f"{name}@{arrival_ms}".encode()], ["key"], [str(arrival_ms)], [arrival_ms])
    return page.append_column(DEDUP_PAGE_SCHEMA.field("dedup_key"), pa.array([name], pa.string()))


def test_doubles_are_removed_within_the_horizon_also_from_another_shard_and_names_are_forgotten(run, tmp_path):
    log = Log(tmp_path)

    def at(second, name, shard_id="shardId-0"):
        return TimestampedValue(page_of(name, second * 1000, shard_id), second)

    stream = (
        streams.TestStream(coder=beam.coders.registry.get_coder(pa.RecordBatch))
        .advance_watermark_to(0)
        .add_elements([at(1, "a"), at(2, "b"), at(3, "a")])
        .advance_watermark_to(9)
        .add_elements([at(9, "c")])
        .advance_watermark_to(10)
        .add_elements([at(10, "a", "shardId-2"), at(11, "b", "shardId-2")])
        .advance_watermark_to(30)  # more than one and a half horizons behind all of them
        .add_elements([at(30, "a", "shardId-2"), at(31, "a", "shardId-2")])
        .advance_watermark_to_infinity()
    )
    run(lambda pipeline: pipeline | stream | RemoveDuplicates(10.0) | beam.ParDo(LogPages(log)))
    seen = [record.data for record in log.records()]
    assert seen == ["a@1000", "b@2000", "c@9000", "a@30000"]


def test_pages_without_names_pass(run, tmp_path):
    log = Log(tmp_path)
    pages = [page_of(None, 1000), page_of(None, 1000)]
    run(lambda pipeline: pipeline | beam.Create(pages) | RemoveDuplicates(10.0) | beam.ParDo(LogPages(log)))
    assert [record.data for record in log.records()] == ["None@1000"] * 2


def failing(run, outcome, elements, stream, **options):
    with pytest.raises(Exception) as raised:
        run(writing(outcome, elements, stream, **options))
    assert "Traceback" not in str(raised.value)
    assert "while running" not in str(raised.value)
    return raised.value


def test_missing_stream_and_credentials_are_named(kinesis, run, outcome, aws_environment):
    error = failing(run, outcome, [("k", b"")], "no-such-stream")
    assert type(error) is NotFoundError
    assert str(error).startswith("Kinesis stream no-such-stream does not exist (ResourceNotFoundException)")
    stream = kinesis.stream()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws_environment.delenv(name)
    error = failing(run, outcome, [("k", b"")], stream)
    assert type(error) is CredentialsError
    assert "`aws configure`" in error.fix


def test_an_element_of_another_kind_is_named_in_one_sentence(kinesis, run, outcome):
    error = failing(run, outcome, [b"bytes"], kinesis.stream())
    assert type(error) is ConfigurationError
    assert str(error).startswith("WriteToKinesis got an element of type bytes")


@pytest.mark.parametrize("options", [{"aggregation_max_bytes": 0}, {"dedup_key": "by_position"}, {"retry_s": -1.0}])
def test_arguments_that_make_no_sense_are_refused_when_the_pipeline_is_built(options):
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        WriteToKinesis("flights", **options)


def test_pages_have_the_columns_they_say():
    assert write.WRITTEN_SCHEMA.names == [name for name in PAGE_SCHEMA.names if name in write.WRITTEN_SCHEMA.names]

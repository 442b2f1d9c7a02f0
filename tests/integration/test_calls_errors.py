"""What the product says where AWS refuses, the same on every target: our error, with AWS's code in it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from call_differences import Differences
from call_fixtures import bucket_of, database_of, delivery_stream, sealed, stream_of, table_request
from declared_calls import declare
from expired import expired
from targets import Target

from infra.provisioning import provision
from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.deliver import ObjectWriter, data_destination
from pipelines.firehose.parse import describe
from pipelines.kinesis.consumer import consumer_arn
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.producer import Producer
from pipelines.kinesis.put import Record, put_records
from pipelines.kinesis.sender import Sender
from pipelines.kinesis.service import StreamService, one_attempt_client
from pipelines.lake.audit import audit
from pipelines.lake.catalog import (
    Partition,
    PartitionRegistrar,
    create_database,
    create_table,
    get_table,
    list_partitions,
    list_tables,
)
from pipelines.lake.delivered import list_infos, object_info, read_content
from pipelines.lake.location import Location
from pipelines.lake.query import query
from pipelines.runtime.aws import client, s3_filesystem
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import (
    ConfigurationError,
    ExpiredIteratorError,
    HydrantError,
    NotFoundError,
    ServiceFaultError,
)
from scenarios.read_back import body, stream_records
from scenarios.reshard.resharding import open_shards, parents

SHARD: Final = "shardId-000000000000"
NOWHERE: Final = "nowhere-1f0c9c2d"
"""A stream, bucket, database and delivery stream that there is not."""
CLOCK: Final = SystemClock()
RECORD: Final = Record(b"x", "k")


@pytest.fixture
def stream(target: Target) -> Iterator[str]:
    with stream_of(target, 1) as name:
        yield name


def send_one() -> None:
    producer = Producer(ordered=False, aggregation_max_bytes=None, retry_s=0)
    with ThreadPoolExecutor(1) as executor:
        sender = Sender(NOWHERE, one_attempt_client(), producer, CLOCK, executor, retry_s=0)
        sender.add(RECORD)


def write_one() -> None:
    writer = ObjectWriter(data_destination(delivery_stream("calls", NOWHERE), None), client("s3"), CLOCK)
    writer.write(sealed([b"x"], 1_764_000_000_000))


OF_A_STREAM: Final[dict[str, Callable[[], Any]]] = {
    "shards": lambda: StreamService(NOWHERE, one_attempt_client()).shards(),
    "iterator": lambda: StreamService(NOWHERE, one_attempt_client()).iterator(SHARD, TRIM_HORIZON),
    "put_records": lambda: put_records(client("kinesis"), NOWHERE, [RECORD]),
    "Sender": send_one,
    "consumer_arn": lambda: consumer_arn(client("kinesis"), NOWHERE, "app", CLOCK),
    "open_shards": lambda: open_shards(client("kinesis"), NOWHERE),
    "parents": lambda: parents(client("kinesis"), NOWHERE),
    "stream_records": lambda: stream_records(client("kinesis"), NOWHERE),
}
OF_A_BUCKET: Final[dict[str, tuple[Callable[[], Any], str]]] = {
    "write": (write_one, "NoSuchBucket"),
    "list_infos": (lambda: list_infos(client("s3"), Location(NOWHERE, "")), "NoSuchBucket"),
    "object_info": (lambda: object_info(client("s3"), Location(NOWHERE, "key")), "404"),  # of HEAD there is no body
    "read_content": (lambda: read_content(client("s3"), s3_filesystem(), Location(NOWHERE, "key"), 1), "404"),
    "body": (lambda: body(client("s3"), DeliveredObject("data", NOWHERE, "key", 1, 1, 1, "size", ())), "NoSuchBucket"),
}
OF_A_DATABASE: Final[dict[str, Callable[[], Any]]] = {
    "create_table": lambda: create_table(client("glue"), table_request(NOWHERE, "flights", "s3://lake/flights/")),
    "get_table": lambda: get_table(client("glue"), NOWHERE, "flights"),
    "list_tables": lambda: list_tables(client("glue"), NOWHERE),
    "query": lambda: query(f'SELECT * FROM "{NOWHERE}".flights'),
}


def refusal(call: Callable[[], Any], error: type[HydrantError], code: str) -> str:
    """What `call` is refused with: our error, which has AWS's code in it, or behind it where it says more."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    said = str(caught.value)
    behind = caught.value.__cause__
    assert code in said or (isinstance(behind, HydrantError) and code in str(behind)), (said, behind)
    return said


@pytest.mark.parametrize("name", OF_A_STREAM)
@pytest.mark.usefixtures("target")
def test_a_stream_that_there_is_not(name: str) -> None:
    said = refusal(OF_A_STREAM[name], NotFoundError, "ResourceNotFoundException")
    assert NOWHERE in said
    assert "Fix: " in said


@pytest.mark.parametrize("name", OF_A_BUCKET)
@pytest.mark.usefixtures("target")
def test_a_bucket_that_there_is_not(name: str) -> None:
    call, code = OF_A_BUCKET[name]
    said = refusal(call, NotFoundError, code)
    assert NOWHERE in said
    assert "Fix: " in said


@pytest.mark.parametrize("name", OF_A_DATABASE)
@pytest.mark.usefixtures("target")
def test_a_database_that_there_is_not(name: str) -> None:
    said = refusal(OF_A_DATABASE[name], NotFoundError, "EntityNotFoundException")
    assert NOWHERE in said
    assert "Fix: " in said


@pytest.mark.usefixtures("target")
def test_a_delivery_stream_that_there_is_not() -> None:
    assert NOWHERE in refusal(lambda: describe(client("firehose"), NOWHERE), NotFoundError, "ResourceNotFoundException")


def test_a_shard_that_there_is_not(stream: str) -> None:
    service = StreamService(stream, one_attempt_client())
    with pytest.raises(NotFoundError, match=r"^shard shardId-000000000009 of .* does not exist .ResourceNotFoundEx"):
        service.iterator("shardId-000000000009", TRIM_HORIZON)


def test_an_object_that_there_is_not(target: Target) -> None:
    s3 = client("s3")
    with bucket_of(target) as bucket:
        location = Location(bucket, "key")
        written = DeliveredObject("data", bucket, "key", 1, 1, 1, "size", ())
        refusal(lambda: object_info(s3, location), NotFoundError, "404")
        refusal(lambda: read_content(s3, s3_filesystem(), location, 1), NotFoundError, "404")
        refusal(lambda: body(s3, written), NotFoundError, "NoSuchKey")
        with pytest.raises(NotFoundError, match="There is no object"):
            list_infos(s3, location)
        assert audit(s3, [written], [bucket]) == [f"{location} has a receipt, but is not there"]
        assert audit(s3, [], [bucket, NOWHERE]) == []


def test_a_table_that_there_is_not(target: Target, tmp_path: Path) -> None:
    glue = client("glue")
    with database_of(target) as database:
        create_database(glue, {"DatabaseInput": {"Name": database}})
        table = create_table(glue, table_request(database, "flights", f"s3://{NOWHERE}/flights/"))
        said = refusal(lambda: get_table(glue, database, "fligths"), NotFoundError, "EntityNotFoundException")
        assert f"database {database} has flights" in said  # what there is instead
        refusal(lambda: query(f"SELECT * FROM {database}.fligths"), NotFoundError, "EntityNotFoundException")
        partition = Partition(("2025-11-24",), f"s3://{NOWHERE}/flights/dt=2025-11-24/")
        assert PartitionRegistrar(glue, table).register(partition)
        refusal(lambda: query(f"SELECT * FROM {database}.flights"), NotFoundError, "NoSuchBucket")  # the bucket is not

        target.client("glue").delete_table(DatabaseName=database, Name="flights")
        registrar = PartitionRegistrar(glue, table)
        refusal(lambda: registrar.register(partition), NotFoundError, "EntityNotFoundException")
        refusal(lambda: list(list_partitions(glue, table)), NotFoundError, "EntityNotFoundException")
    folder = declare(tmp_path, glue__create_table=table_request(NOWHERE, "flights", "s3://lake/flights/"))
    said = refusal(lambda: provision(folder), NotFoundError, "EntityNotFoundException")
    assert "10-glue.create_table.json" in said


def test_b3_a_hash_key_that_there_is_not(stream: str) -> None:
    beyond = Record(b"x", "k", str(2**128))
    said = refusal(lambda: put_records(client("kinesis"), stream, [beyond]), ConfigurationError, "InvalidArgument")
    assert stream in said


def test_b7_a_sequence_number_of_another_stream(target: Target, known: Differences, stream: str) -> None:
    service = StreamService(stream, one_attempt_client())
    put_records(client("kinesis"), stream, [RECORD])
    if known.on(target.name, "any-sequence-number"):
        assert service.iterator(SHARD, ShardPosition.at("77"))
    elif known.on(target.name, "strange-sequence-number-is-not-found"):
        refusal(lambda: service.iterator(SHARD, ShardPosition.at("77")), NotFoundError, "ResourceNotFoundException")
    else:
        refusal(lambda: service.iterator(SHARD, ShardPosition.at("77")), ConfigurationError, "InvalidArgumentException")


def test_b7_what_is_no_iterator(target: Target, known: Differences, stream: str) -> None:
    service = StreamService(stream, one_attempt_client())
    if known.on(target.name, "strange-iterator-is-a-fault"):
        refusal(lambda: service.get(SHARD, "AAAA"), ServiceFaultError, "500")
    else:
        refusal(lambda: service.get(SHARD, "AAAA"), ConfigurationError, "InvalidArgumentException")


def test_b7_an_iterator_older_than_five_minutes(target: Target, known: Differences, stream: str) -> None:
    service = StreamService(stream, one_attempt_client())
    put_records(client("kinesis"), stream, [RECORD])
    iterator = service.iterator(SHARD, TRIM_HORIZON)
    if known.on(target.name, "iterators-for-ever"):
        time.sleep(1.1)
        assert service.iterator(SHARD, TRIM_HORIZON) == iterator
    else:
        answer = service.get(SHARD, iterator)  # it may be used again, for as long as it is valid
        assert answer.page is not None
        with expired(target, iterator) as old:
            said = refusal(lambda: service.get(SHARD, old), ExpiredIteratorError, "ExpiredIteratorException")
            assert stream in said
            again = service.get(SHARD, service.iterator(SHARD, TRIM_HORIZON))
        assert again.page == answer.page

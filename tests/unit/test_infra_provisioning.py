"""A folder of requests becomes what it declares, in order, and twice is as good as once."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lake_server import LakeServer, table_input

from infra import provisioning
from infra.embedded.kinesis_server import Server
from infra.embedded.model.service import Kinesis
from infra.provisioning import provision, remove
from pipelines.runtime.aws import client
from pipelines.runtime.clock import ManualClock, SystemClock
from pipelines.runtime.errors import ConfigurationError, EndpointDownError, NotFoundError

pytest_plugins = ("lake_server",)

STREAM = {"StreamName": "flights", "ShardCount": 2}
DELIVERY = {
    "DeliveryStreamName": "flights",
    "ExtendedS3DestinationConfiguration": {"RoleARN": "arn:aws:iam::1:role/a-role", "BucketARN": "arn:aws:s3:::lake"},
}


def declare(folder: Path, **files: Any) -> Path:
    """`folder` with a file a keyword: `_10_kinesis__create_stream` becomes 10-kinesis.create_stream.json."""
    for name, request in files.items():
        number, rest = name.lstrip("_").split("_", 1)
        text = request if isinstance(request, str) else json.dumps(request)
        (folder / f"{number}-{rest.replace('__', '.')}.json").write_text(text)
    return folder


@pytest.fixture
def everything(lake: LakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LakeServer]:
    """S3, Glue and Firehose of moto, and the model Kinesis, where a stream takes a moment to be ACTIVE."""
    server = Server(Kinesis(SystemClock(), "us-east-1", "000000000000", settle_ms=600), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", f"http://127.0.0.1:{server.port}")
    yield lake
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return declare(
        tmp_path,
        _50_firehose__create_delivery_stream=DELIVERY,
        _10_kinesis__create_stream=STREAM,
        _20_s3__create_bucket={"Bucket": "flights"},
        _30_glue__create_database={"DatabaseInput": {"Name": "flights_db"}},
        _40_glue__create_table=table_input({"carrier": "string"}),
        _45_lambda__create_function="not called, not read",
    )


CALLED = [
    "kinesis.create_stream",
    "s3.create_bucket",
    "glue.create_database",
    "glue.create_table",
    "firehose.create_delivery_stream",
]


def test_calls_are_made_in_the_order_of_the_names_and_streams_are_waited_for(
    everything: LakeServer, folder: Path
) -> None:
    assert provision(folder) == CALLED
    summary = client("kinesis").describe_stream_summary(StreamName="flights")["StreamDescriptionSummary"]
    assert (summary["StreamStatus"], summary["OpenShardCount"]) == ("ACTIVE", 2)
    assert "flights" in {bucket["Name"] for bucket in everything.s3.list_buckets()["Buckets"]}
    assert everything.glue.get_table(DatabaseName="flights_db", Name="flights")["Table"]["Name"] == "flights"
    assert client("firehose").list_delivery_streams()["DeliveryStreamNames"] == ["flights"]


def test_a_stream_can_be_used_once_it_is_provisioned(everything: LakeServer, tmp_path: Path) -> None:
    provision(declare(tmp_path, _10_kinesis__create_stream=STREAM))
    assert client("kinesis").put_record(StreamName="flights", Data=b"x", PartitionKey="x")["ShardId"]


def test_twice_is_as_good_as_once(everything: LakeServer, folder: Path) -> None:
    provision(folder)
    everything.s3.put_object(Bucket="flights", Key="kept", Body=b"x")
    assert provision(folder) == CALLED
    assert everything.s3.get_object(Bucket="flights", Key="kept")["Body"].read() == b"x"
    assert client("kinesis").list_streams()["StreamNames"] == ["flights"]


def test_what_is_skipped_is_the_callers_choice(everything: LakeServer, folder: Path) -> None:
    skip = frozenset({"lambda", "firehose", "glue"})
    assert provision(folder, skip=skip) == ["kinesis.create_stream", "s3.create_bucket"]


def test_what_aws_refuses_names_the_file_and_ends_it(everything: LakeServer, tmp_path: Path) -> None:
    declare(tmp_path, _10_glue__create_table=table_input({"a": "int"}), _20_kinesis__create_stream=STREAM)
    with pytest.raises(NotFoundError, match=r"glue create_table of 10-glue\.create_table\.json"):
        provision(tmp_path)
    assert client("kinesis").list_streams()["StreamNames"] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("[1]", "it is no JSON object"),
        ('{"ShardCount": "two"}', 'Missing required parameter in input: "StreamName"'),
        ('{"StreamName": "a", "Shards": 2}', 'Unknown parameter in input: "Shards"'),
        ("\ufeff{}", "BOM"),
    ],
)
def test_a_file_that_is_no_request_is_named_with_what_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    declare(tmp_path, _10_kinesis__create_stream=text)
    with pytest.raises(ConfigurationError) as raised:
        provision(tmp_path)
    assert str(tmp_path / "10-kinesis.create_stream.json") in raised.value.message
    assert why in raised.value.message
    assert "\n" not in raised.value.message
    assert "API reference" in raised.value.fix


@pytest.mark.parametrize("name", ["kinesis.create_stream", "10-kinesis", "10", "flights-kinesis.create_stream"])
def test_a_file_whose_name_is_no_call_is_named_with_the_fix(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="names no operation") as raised:
        provision(tmp_path)
    assert f"{name}.json" in raised.value.message
    assert "10-kinesis.create_stream.json" in raised.value.fix


@pytest.mark.parametrize("name", ["10-kinesys.create_stream", "10-kinesis.create_steam"])
def test_a_service_or_operation_that_there_is_not_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=name):
        provision(tmp_path)


def test_a_folder_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        provision(tmp_path / "nowhere")


class Refusing:
    """A client of any service that refuses every call."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __getattr__(self, operation: str) -> Any:
        def call(**_: Any) -> None:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, operation)

        return call


@pytest.mark.parametrize("code", ["BucketAlreadyOwnedByYou", "AlreadyExistsException", "ResourceInUseException"])
def test_what_exists_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(provisioning, "client", lambda _: Refusing(code))
    declare(tmp_path, _10_s3__create_bucket={"Bucket": "lake"})
    assert provision(tmp_path) == ["s3.create_bucket"]


def test_a_bucket_of_another_account_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "client", lambda _: Refusing("BucketAlreadyExists"))
    declare(tmp_path, _10_s3__create_bucket={"Bucket": "lake"})
    with pytest.raises(ConfigurationError, match="BucketAlreadyExists"):
        provision(tmp_path)


def test_only_what_creates_may_find_its_work_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "client", lambda _: Refusing("ResourceInUseException"))
    declare(tmp_path, _10_kinesis__merge_shards={"StreamName": "a", "ShardToMerge": "0", "AdjacentShardToMerge": "1"})
    with pytest.raises(ConfigurationError, match="ResourceInUseException"):
        provision(tmp_path)


class Settling:
    """Kinesis, where a stream is CREATING for `times` questions."""

    def __init__(self, times: float) -> None:
        self.times = times

    def create_stream(self, **_: Any) -> None:
        pass

    def describe_stream_summary(self, **_: Any) -> dict[str, Any]:
        self.times -= 1
        return {"StreamDescriptionSummary": {"StreamStatus": "CREATING" if self.times >= 0 else "ACTIVE"}}


def test_a_stream_is_asked_for_until_it_is_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinesis, clock = Settling(3), ManualClock()
    monkeypatch.setattr(provisioning, "client", lambda _: kinesis)
    provision(declare(tmp_path, _10_kinesis__create_stream=STREAM), clock=clock)
    assert len(clock.slept_s) == 3


def test_a_stream_that_never_becomes_active_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "client", lambda _: Settling(float("inf")))
    clock = ManualClock()
    with pytest.raises(EndpointDownError, match="Kinesis stream flights is still CREATING after 120 s") as raised:
        provision(declare(tmp_path, _10_kinesis__create_stream=STREAM), clock=clock)
    assert raised.value.fix
    assert 120 <= sum(clock.slept_s) < 125


def test_what_was_declared_is_deleted_again_with_every_object(everything: LakeServer, folder: Path) -> None:
    provision(folder)
    s3 = client("s3")
    for number in range(3):
        s3.put_object(Bucket="flights", Key=f"a/{number}", Body=b"x")
    assert remove(folder) == [
        "firehose.delete_delivery_stream",
        "glue.delete_table",
        "glue.delete_database",
        "s3.delete_bucket",
        "kinesis.delete_stream",
    ]
    assert client("kinesis").list_streams()["StreamNames"] == []
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if bucket["Name"] == "flights"] == []
    assert client("firehose").list_delivery_streams()["DeliveryStreamNames"] == []
    assert remove(folder) == []  # what is gone is left so
    assert "kinesis.create_stream" in provision(folder)


def test_what_cannot_be_deleted_again_is_said_before_anything_of_it_is(everything: LakeServer, tmp_path: Path) -> None:
    provision(declare(tmp_path, _10_kinesis__create_stream=STREAM))
    folder = declare(tmp_path, _20_kinesis__increase_stream_retention_period={})
    with pytest.raises(ConfigurationError, match="increase_stream_retention_period"):
        remove(folder)
    assert client("kinesis").list_streams()["StreamNames"] == ["flights"]

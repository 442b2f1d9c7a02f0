"""Delivery without Beam: what a sealed buffer becomes, and what is done when S3 fails."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from firehose_requests import request

from pipelines.firehose.chunk import Chunk, Sealed
from pipelines.firehose.config import DeliveryStreamConfig
from pipelines.firehose.deliver import (
    Destination,
    ObjectWriter,
    backup_destination,
    data_destination,
    error_destination,
    render,
)
from pipelines.firehose.parse import parse_create_request
from pipelines.kinesis.page import make_page
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import CredentialsError, EndpointDownError, NotFoundError, ServiceFaultError

ARRIVED_MS = 1_764_000_000_000  # 2025-11-24T16:00:00Z
DOWN = EndpointConnectionError(endpoint_url="x")


def stream(**s3: Any) -> DeliveryStreamConfig:
    return parse_create_request(request(**s3), region="us-east-1", account="000000000000")


def sealed(*pages: Sequence[bytes], key: str = "shardId-000000000000") -> Sealed:
    chunks = []
    for number, data in enumerate(pages):
        numbers = [str(10**20 + number * 100 + i) for i in range(len(data))]
        arrivals = [ARRIVED_MS + number * 1000 + i for i in range(len(data))]
        chunks.append(Chunk.of_page(make_page("shardId-000000000000", data, ["k"] * len(data), numbers, arrivals)))
    return Sealed(key, tuple(chunks), "size")


class FakeS3:
    """Takes objects; `faults` are raised by the next calls."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls = 0

    def put_object(self, **members: Any) -> None:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        self.objects[members["Key"]] = members


def client_error(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "so it is"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")


def data(**s3: Any) -> Destination:
    return data_destination(stream(**s3), None)


def test_a7_11_records_stand_one_behind_the_other_with_nothing_between() -> None:
    rendered = render(data(), sealed([b"a\n", b"", b"b"], [b"c\n"]))
    assert rendered.body == b"a\nbc\n"
    assert rendered.receipt.records == 4
    assert rendered.receipt.raw_bytes == 5


def test_a7_9_text_is_compressed_as_asked_and_labelled() -> None:
    rendered = render(data(CompressionFormat="GZIP"), sealed([b"a\n", b"b\n"]))
    assert gzip.decompress(rendered.body) == b"a\nb\n"
    assert rendered.key.endswith(".gz")
    assert rendered.content_encoding == "gzip"


def test_a7_3_the_prefix_is_that_of_the_oldest_record_also_when_it_came_later() -> None:
    prefix = "x/!{timestamp:yyyy-MM-dd-HH}/"
    late_first = Sealed("k", tuple(reversed(sealed([b"a"], [b"b"]).chunks)), "size")
    assert render(data(Prefix=prefix, ErrorOutputPrefix="e/"), late_first).key.startswith("x/2025-11-24-16/")


def test_the_same_buffer_is_the_same_object_whatever_is_random_in_its_prefix() -> None:
    destination = data(Prefix="!{firehose:random-string}/", ErrorOutputPrefix="e/")
    one, again = (render(destination, sealed([b"a"], [b"b"])) for _ in range(2))
    assert one == again
    assert render(destination, sealed([b"a"])).key.split("/")[0] != one.key.split("/")[0]


def test_lineage_is_in_the_metadata_and_in_the_receipt() -> None:
    rendered = render(data(), sealed([b"a", b"b"], [b"c"]))
    shards = {"shardId-000000000000": {"first": str(10**20), "last": str(10**20 + 100), "count": 3}}
    assert json.loads(rendered.metadata["hydrant-lineage"]) == shards
    assert rendered.metadata["hydrant-records"] == "3"
    assert rendered.receipt.to_json()["shards"] == shards


def test_lineage_of_too_many_shards_for_metadata_leaves_the_count() -> None:
    """S3 takes 2 KB of user metadata."""
    pages = [make_page(f"shardId-{n:012d}", [b"x"], ["k"], [str(10**55 + n)], [ARRIVED_MS]) for n in range(40)]
    rendered = render(data(), Sealed("k", tuple(Chunk.of_page(page) for page in pages), "size"))
    assert rendered.metadata == {"hydrant-records": "40", "hydrant-flushed-by": "size"}
    assert len(rendered.receipt.shards) == 40


def test_a7_7_error_objects_are_keyed_by_their_kind_and_have_no_extension() -> None:
    prefix = {"Prefix": "p/", "ErrorOutputPrefix": "e/!{firehose:error-output-type}/"}
    rendered = render(error_destination(stream(**prefix)), sealed([b"{}\n"], key="processing-failed|shardId-0"))
    assert rendered.key.startswith("e/processing-failed/")
    assert "." not in rendered.key.rpartition("/")[2]
    assert rendered.receipt.kind == "processing-failed"


def test_a7_13_only_a_stream_with_a_backup_has_a_place_for_it() -> None:
    with pytest.raises(ValueError, match="no source backup"):
        backup_destination(stream())


@pytest.mark.parametrize("fault", [client_error("SlowDown", 503), client_error("InternalError", 500), DOWN])
def test_a7_12_transient_failures_are_tried_again_with_growing_pauses(fault: Exception) -> None:
    clock, s3 = ManualClock(), FakeS3(fault, fault, fault)
    begin = clock.monotonic_s()
    receipt = ObjectWriter(data(), s3, clock).write(sealed([b"a"]))
    assert list(s3.objects) == [receipt.key]
    assert clock.monotonic_s() - begin == pytest.approx(0.2 + 0.4 + 0.8)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (client_error("InternalError", 500), ServiceFaultError),
        (DOWN, EndpointDownError),
    ],
)
def test_a7_12_after_a_minute_the_reason_is_raised(fault: Exception, error: type[Exception]) -> None:
    clock, s3 = ManualClock(), FakeS3(*[fault] * 1000)
    begin = clock.monotonic_s()
    with pytest.raises(error):
        ObjectWriter(data(), s3, clock).write(sealed([b"a"]))
    assert 45 < clock.monotonic_s() - begin <= 60


@pytest.mark.parametrize(
    ("fault", "error"),
    [(client_error("NoSuchBucket", 404), NotFoundError), (client_error("AccessDenied", 403), CredentialsError)],
)
def test_what_trying_again_does_not_mend_is_raised_at_once(fault: Exception, error: type[Exception]) -> None:
    s3 = FakeS3(fault)
    with pytest.raises(error):
        ObjectWriter(data(), s3, ManualClock()).write(sealed([b"a"]))
    assert s3.calls == 1

"""GetRecords bodies as pages, through a real boto3 client that gets canned HTTP answers."""

import base64
import binascii
import io
import json

import pyarrow as pa
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.session import get_session
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.kinesis import decode
from pipelines.kinesis.decode import BODY, decode_answer, keep_body
from pipelines.kinesis.page import PAGE_SCHEMA
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import ShardInfo
from pipelines.kinesis.service import StreamService
from pipelines.runtime import aws
from pipelines.runtime.errors import ExpiredIteratorError, ServiceFaultError, ThrottledError

SHARD = "shardId-000000000003"
SHAPE = get_session().get_service_model("kinesis").operation_model("GetRecords").output_shape


class Raw(io.BytesIO):
    def stream(self, *_args, **_kwargs):
        yield self.read()


@pytest.fixture
def answering(monkeypatch):
    """Makes a boto3 client whose calls all get one HTTP answer."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")

    def make(body: object, status: int = 200):
        client = aws.client("kinesis", max_attempts=1)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        client.meta.events.register(
            "before-send.kinesis.*", lambda request, **_: AWSResponse(request.url, status, headers, Raw(content))
        )
        return client

    return make


def body_of(records, **more):
    rows = [
        {
            "SequenceNumber": number,
            "Data": base64.b64encode(data).decode(),
            "PartitionKey": key,
            "ApproximateArrivalTimestamp": ms / 1000,
        }
        for number, data, key, ms in records
    ]
    return {"Records": rows, "MillisBehindLatest": 0, "NextShardIterator": "next", **more}


RECORD = {"Data": "AAAA", "PartitionKey": "k", "SequenceNumber": "1", "ApproximateArrivalTimestamp": 1.5}

RECORDS = st.lists(
    st.tuples(
        st.integers(1, 10**56).map(str),
        st.binary(max_size=40),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
        st.integers(1_400_000_000_000, 1_900_000_000_000),
    ),
    max_size=6,
)


@given(records=RECORDS, behind=st.integers(0, 10**9), pay_bytes=st.sampled_from([0, decode.COLUMNS_PAY_BYTES]))
@settings(max_examples=300)
def test_b8_b9_body_and_botocores_own_answer_give_equal_pages(records, behind, pay_bytes):
    body = body_of(records, MillisBehindLatest=behind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "COLUMNS_PAY_BYTES", pay_bytes)
        fast = decode_answer({BODY: json.dumps(body).encode()}, SHARD)
    # What botocore's parser makes of the body: bytes, and times as datetime.
    response = {"status_code": 200, "headers": {}, "body": json.dumps(body).encode()}
    slow = decode_answer(create_parser("json").parse(response, SHAPE), SHARD)
    assert (fast.page is None) == (slow.page is None) == (not records)
    if records:
        assert fast.page.equals(slow.page)
        assert fast.page.schema.equals(PAGE_SCHEMA)
        assert fast.page["data"].to_pylist() == [data for _, data, _, _ in records]
        assert fast.page["arrival_ms"].to_pylist() == [ms for _, _, _, ms in records]
        assert fast.end == slow.end == ShardPosition.after(records[-1][0])
    assert fast.data_bytes == slow.data_bytes == sum(len(data) for _, data, _, _ in records)
    assert fast.millis_behind == slow.millis_behind == behind


ODD_DATA = ["", "AA==", "AAA=", "AAAA", "A===", "AA=A", "AB=C", "=AAA", "AAAAA", "A A=", "AA\n==", "é", "-_-_", None]


@given(texts=st.lists(st.sampled_from(ODD_DATA), min_size=1, max_size=4), member=st.sampled_from([None, *RECORD]))
@example(texts=["AAAA"], member="Data")
def test_columns_decide_nothing_that_record_by_record_would_decide_otherwise(texts, member):
    records = [RECORD | {"Data": text} for text in texts]
    if member:
        del records[-1][member]
    body = json.dumps({"Records": records, "MillisBehindLatest": 1, "NextShardIterator": "n"}).encode()
    try:
        columns = decode._columns(body, SHARD)
    except (pa.ArrowException, binascii.Error):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "_columns", refuse)
        assert decode_answer({BODY: body}, SHARD) == columns


def refuse(*_):
    raise binascii.Error


@pytest.mark.parametrize("indent", [None, 2])
def test_a_body_that_arrow_does_not_read_is_read_record_by_record(indent):
    body = body_of([("17", b"a\nb", "key", 1_700_000_000_123)] * 3)
    answer = decode_answer({BODY: json.dumps(body, indent=indent).encode()}, SHARD)
    assert answer.page["data"].to_pylist() == [b"a\nb"] * 3


@pytest.mark.parametrize("pay_bytes", [0, decode.COLUMNS_PAY_BYTES], ids=["columns", "rows"])
@pytest.mark.parametrize("lost", ["gone", "null"])
def test_an_answer_that_lost_its_records_is_spoiled_whatever_its_size(monkeypatch, pay_bytes, lost):
    monkeypatch.setattr(decode, "COLUMNS_PAY_BYTES", pay_bytes)
    body = body_of([("17", b"a", "key", 1_700_000_000_123)])
    body |= {"Records": None} if lost == "null" else {"Record5": body.pop("Records")}
    answer = decode_answer({BODY: json.dumps(body).encode()}, SHARD)
    assert answer.spoiled is not None
    assert answer.page is None


def test_b8_the_columns_are_what_decides_of_a_large_answer(monkeypatch):
    monkeypatch.setattr(decode, "make_page", None)
    body = body_of([("17", b"a" * n, "key", 1_700_000_000_123) for n in range(700)])
    assert decode_answer({BODY: json.dumps(body).encode()}, SHARD).data_bytes == 700 * 699 // 2


def test_b8_a_small_answer_is_not_worth_columns(monkeypatch):
    monkeypatch.setattr(decode, "_columns", None)
    body = body_of([("17", b"a" * n, "key", 1_700_000_000_123) for n in range(9)])
    assert decode_answer({BODY: json.dumps(body).encode()}, SHARD).data_bytes == 36


def test_b8_client_hands_over_the_body_undecoded(answering):
    body = body_of([("17", b"\x00\xff", "key", 1_700_000_000_123)], MillisBehindLatest=5)
    client = answering(body)
    service = StreamService("s", client)
    answer = service.get(SHARD, "it")
    assert answer.page.to_pylist() == [
        {
            "data": b"\x00\xff",
            "partition_key": "key",
            "sequence_number": "17",
            "sub_sequence_number": 0,
            "shard_id": SHARD,
            "arrival_ms": 1_700_000_000_123,
        }
    ]
    assert (answer.millis_behind, answer.next_iterator, answer.caught_up) == (5, "next", False)
    parsed = client.get_records(ShardIterator="it")
    assert json.loads(parsed[BODY]) == body
    assert "Records" not in parsed


def test_b10_closed_shard_names_its_children(answering):
    child = {"ShardId": "c", "ParentShards": ["a", "b"], "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"}}
    body = {"Records": [], "MillisBehindLatest": 0, "ChildShards": [child]}
    for client in (answering(body), answering(body | {"NextShardIterator": None})):
        answer = StreamService("s", client).get(SHARD, "it")
        assert answer.page is None
        assert answer.next_iterator is None
        assert answer.children == (ShardInfo("c", ("a", "b"), hash_range=(0, 9)),)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "ExpiredIteratorException", ExpiredIteratorError),
        (400, "ProvisionedThroughputExceededException", ThrottledError),
        (500, "InternalFailure", ServiceFaultError),
    ],
)
def test_error_answers_keep_their_code_and_message(answering, status, code, error):
    client = answering({"__type": code, "message": "so it is"}, status)
    with pytest.raises(error, match="so it is"):
        StreamService("s", client).get(SHARD, "it")
    with pytest.raises(ClientError) as raised:
        client.get_records(ShardIterator="it")
    assert raised.value.response["Error"]["Code"] == code


def test_keep_body_leaves_errors_to_botocore():
    response, customized = {"status_code": 400, "body": b"{}x"}, {}
    keep_body(response_dict=response, customized_response_dict=customized, operation_model=None)
    assert (response["body"], customized) == (b"{}x", {})

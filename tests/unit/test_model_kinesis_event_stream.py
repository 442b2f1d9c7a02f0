"""AWS's event stream encoding, checked by botocore's decoder and by messages taken apart by hand."""

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.embedded.event_stream import event, exception, message

NAMES = st.text(min_size=1, max_size=40).filter(lambda name: len(name.encode()) < 256)
HEADERS = st.dictionaries(NAMES, st.text(max_size=60), max_size=5)


def test_b14_messages_byte_for_byte() -> None:
    nothing = "000000100000000005c248eb7d98c8ff"
    assert message({}, b"") == bytes.fromhex(nothing)
    payload_only = "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"
    assert message({}, b"{'foo':'bar'}") == bytes.fromhex(payload_only)
    header = "0c" + b"content-type".hex() + "070010" + b"application/json".hex()
    both = "0000003d0000002007fd8396" + header + b"{'foo':'bar'}".hex() + "8d9c08b1"
    assert message({"content-type": "application/json"}, b"{'foo':'bar'}") == bytes.fromhex(both)


@settings(deadline=None)
@given(st.lists(st.tuples(HEADERS, st.binary(max_size=60)), max_size=4), st.integers(1, 50))
def test_b14_botocore_reads_messages_in_pieces_of_any_size(sent: list[tuple[dict[str, str], bytes]], step: int) -> None:
    wire = b"".join(message(headers, payload) for headers, payload in sent)
    buffer, got = EventStreamBuffer(), []
    for begin in range(0, len(wire), step):
        buffer.add_data(wire[begin : begin + step])
        got += [(found.headers, found.payload) for found in buffer]
    assert got == sent


@given(HEADERS, st.binary(max_size=50), st.data())
def test_b14_a_changed_byte_is_noticed(headers: dict[str, str], payload: bytes, data: st.DataObject) -> None:
    wire = bytearray(message(headers, payload))
    at = data.draw(st.integers(0, len(wire) - 1))
    if at in range(8):
        at += 4  # a length that is wrong can also make the reader wait for more
    wire[at] ^= data.draw(st.integers(1, 255))
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(wire))
    with pytest.raises(ChecksumMismatch):
        next(buffer)


def test_b14_events_and_exceptions_have_aws_headers() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event("SubscribeToShardEvent", b"{}") + exception("ResourceNotFoundException", b'{"message":"m"}'))
    one, two = buffer
    assert one.headers == {
        ":event-type": "SubscribeToShardEvent",
        ":content-type": "application/x-amz-json-1.1",
        ":message-type": "event",
    }
    assert two.headers == {
        ":exception-type": "ResourceNotFoundException",
        ":content-type": "application/x-amz-json-1.1",
        ":message-type": "exception",
    }
    assert (one.payload, two.payload) == (b"{}", b'{"message":"m"}')
    assert one.to_response_dict()["status_code"] == 200
    assert two.to_response_dict()["status_code"] == 400

"""Answers that the model Kinesis spoils on order."""

import base64
import binascii

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinesis_model import TOP, Service

from infra.embedded.model.errors import KinesisError
from infra.embedded.model.garble import garble


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_no_decoder_takes_the_base64_of_a_garbled_record(bodies: list[bytes]) -> None:
    records = [{"Data": base64.b64encode(body).decode(), "PartitionKey": "k"} for body in bodies]
    spoiled = garble(orjson.dumps({"Records": records}), "bad_base64")
    assert spoiled is not None
    (wrong,) = [one for one, good in zip(orjson.loads(spoiled)["Records"], records, strict=True) if one != good]
    for strict in (False, True):
        with pytest.raises(binascii.Error):
            base64.b64decode(wrong["Data"], validate=strict)


@pytest.mark.parametrize("how", ["bad_base64", "missing_member", "not_json"])
def test_an_ordered_garble_spoils_the_next_answers_of_its_shard_that_it_fits(how: str) -> None:
    service = Service(2)
    order = {"operation": "GetRecords", "how": how, "times": 2, "shard": "shardId-000000000001"}
    service.kinesis.faults.order({"garble": [order]})
    other, mine = (service.iterator(f"shardId-00000000000{n}") for n in range(2))
    for number in range(5):
        for key in ("0", str(TOP)):
            service.put(b"%d" % number, ExplicitHashKey=key)
    answers = [service.kinesis.call("GetRecords", {"ShardIterator": i}) for i in (other, mine, mine, mine)]
    assert all(isinstance(answer, bytes) for answer in answers)
    good = orjson.loads(answers[3])
    assert [r["Data"] for r in good["Records"]] == ["MA==", "MQ==", "Mg==", "Mw==", "NA=="]
    assert len(orjson.loads(answers[0])["Records"]) == 5
    for answer in answers[1:3]:
        if how == "not_json":
            assert answer == answers[3][: len(answer)]
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(answer)
            continue
        wrong = dict(good["Records"][2])
        if how == "bad_base64":
            wrong["Data"] = "%g=="
        else:
            del wrong["PartitionKey"]
        records = orjson.loads(answer)["Records"]
        assert records == [*good["Records"][:2], wrong, *good["Records"][3:]]


def test_a_garble_waits_for_a_record_and_another_operation_is_none_of_its_business() -> None:
    service = Service()
    service.kinesis.faults.order({"garble": [{"operation": "GetRecords", "how": "missing_member"}]})
    assert service("GetRecords", ShardIterator=service.iterator())["Records"] == []
    service.put()
    assert "PartitionKey" not in service("GetRecords", ShardIterator=service.iterator())["Records"][0]
    assert "PartitionKey" in service("GetRecords", ShardIterator=service.iterator())["Records"][0]
    service.kinesis.faults.order({"garble": [{"operation": "ListShards", "how": "not_json"}]})
    assert service.drain("shardId-000000000000") != []
    with pytest.raises(orjson.JSONDecodeError):
        service("ListShards")
    with pytest.raises(KinesisError, match="not by nonsense"):
        service.kinesis.faults.order({"garble": [{"operation": "GetRecords", "how": "nonsense"}]})

"""The scenario `weblogs` itself: what its handler answers, that its oracle is another way to the same, and what its
checks notice.
"""

import base64
import gzip
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.firehose.chunk import DeliveredObject, ShardLineage
from pipelines.firehose.invoke import InProcessInvoker
from pipelines.firehose.ledger import Account, Entry
from pipelines.firehose.parse import parse_create_request
from scenarios.read_back import StreamRecord
from scenarios.weblogs import checks
from scenarios.weblogs.handler import family, lambda_handler, pseudonym
from scenarios.weblogs.oracle import COLUMNS, Expected, Row, expect
from scenarios.weblogs.scenario import Verdict, scenario
from scenarios.weblogs.workload import log_lines, make_workload

KEY = b"a key of the tests"
BROKEN_LINE = 8_899
SHARD = "shardId-000000000000"


@pytest.fixture(scope="module")
def expected() -> Expected:
    return expect(log_lines(), KEY)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSEUDONYM_KEY", KEY.decode())


def answers(*lines: bytes) -> list[dict[str, Any]]:
    records = [{"recordId": str(at), "data": base64.b64encode(line).decode()} for at, line in enumerate(lines)]
    answered = lambda_handler({"records": records}, None)["records"]
    assert [record["recordId"] for record in answered] == [record["recordId"] for record in records]
    return answered


def delivered(*lines: bytes) -> bytes:
    return b"".join(base64.b64decode(record["data"]) for record in answers(*lines) if record["result"] == "Ok")


def line(
    address: str = "9.8.7.6", agent: str = "Mozilla/5.0 Firefox/3.6", size: str = "12", at: str = "+0000"
) -> bytes:
    return f'{address} - - [17/May/2015:10:05:03 {at}] "GET /a HTTP/1.1" 200 {size} "-" "{agent}"\n'.encode()


def test_the_log_is_as_it_came_and_one_line_of_it_does_not_parse(expected: Expected) -> None:
    lines = log_lines()
    assert len(lines) == len(make_workload(None, 1)) == 10_000
    assert expected.broken == (lines[BROKEN_LINE - 1],)
    assert expected.broken[0].endswith(b"bot.html\n"), "cut off within its user agent"
    assert len(expected.robots) == 1_397
    assert len(expected.hits) == 8_602


def test_a4_3_handler_and_oracle_say_the_same_of_every_line(expected: Expected) -> None:
    answered = answers(*log_lines())
    by_result = {
        result: [at for at, record in enumerate(answered) if record["result"] == result]
        for result in ("Ok", "Dropped", "ProcessingFailed")
    }
    assert [log_lines()[at] for at in by_result["Dropped"]] == list(expected.robots)
    assert [log_lines()[at] for at in by_result["ProcessingFailed"]] == list(expected.broken)
    assert checks.text_rows(delivered(*log_lines())) == expected.rows


def test_what_the_handler_delivers_of_the_log_leaks_nothing(expected: Expected) -> None:
    assert list(checks.leaks("text", delivered(*log_lines()).decode(), expected)) == []


@pytest.mark.parametrize("kind", ["addresses", "agents"])
def test_a_leak_is_found_wherever_it_stands(expected: Expected, kind: str) -> None:
    for text in sorted(getattr(expected, kind))[::97]:
        (said,) = checks.leaks("text", json.dumps({"path": f"/x?from={text}&y"}, ensure_ascii=False), expected)
        assert "stand in what was delivered" in said


@given(st.ip_addresses(v=4).map(str), st.binary(min_size=1, max_size=64))
def test_a_pseudonym_is_the_keyed_hash_that_rfc_2104_describes(address: str, key: bytes) -> None:
    text = line(address)
    (row,) = expect([text], key).rows
    assert row[0] == pseudonym(address, key) == hmac.digest(key, address.encode(), "sha256").hex()[:16]
    assert address not in row[0]


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Opera/9.64(Windows NT 5.1; U; en) Presto/2.1.1", "Opera"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0 Safari/537.36 OPR/19.0", "Opera"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0 Safari/537.36", "Chrome"),
        ("Mozilla/5.0 (iPad) AppleWebKit/536.26 Version/6.0 Mobile/10A523 Safari/8536.25", "Safari"),
        ("Mozilla/5.0 (Windows NT 6.1; rv:27.0) Gecko/20100101 Firefox/27.0", "Firefox"),
        ("Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)", "Internet Explorer"),
        ("Tiny Tiny RSS/1.11 (http://tt-rss.org/)", "feed reader"),
        ("Wget/1.12 (linux-gnu)", "other"),
        ("-", None),
    ],
)
def test_a_user_agent_is_reduced_to_its_family(agent: str, name: str | None) -> None:
    assert family(agent) == name


def test_times_become_utc_and_a_dash_becomes_null() -> None:
    (row,) = checks.text_rows(delivered(line(size="-", at="+0200")))
    assert row == (
        pseudonym("9.8.7.6", KEY),
        "2015-05-17 08:05:03",
        "GET",
        "/a",
        "HTTP/1.1",
        200,
        None,
        None,
        "Firefox",
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"{}", b"\xff", line()[:-3], line() + line(), line().replace(b"May", b"Mai"), line(size="many"),
     line().replace(b"17/May", b"32/May")],
)  # fmt: skip
def test_a4_4_what_is_no_line_of_a_log_fails_and_returns_as_it_came(data: bytes) -> None:
    (record,) = answers(data)
    assert record["result"] == "ProcessingFailed"
    assert base64.b64decode(record["data"]) == data


def test_a_quote_within_a_field_does_not_end_it() -> None:
    (row,) = checks.text_rows(delivered(line().replace(b'"-"', rb'"http://a/\"b"')))
    assert row[COLUMNS.index("referrer")] == r"http://a/\"b"


@given(count=st.integers(1, 300), seed=st.integers(0, 3))
def test_a_sample_keeps_the_order_of_the_log_and_follows_the_seed(count: int, seed: int) -> None:
    one = make_workload(count, seed)
    assert one == make_workload(count, seed)
    assert len(one) == count
    rest = iter(log_lines())
    assert all(chosen in rest for chosen in one.lines), "not in the order of the log"
    assert [record.data for record in one.records()] == list(one.lines)


def test_another_seed_takes_other_lines() -> None:
    assert make_workload(50, 1) != make_workload(50, 2)


def test_the_function_has_its_environment_also_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PSEUDONYM_KEY")
    (tmp_path / "reads.py").write_text(
        "import os\nAT_IMPORT = os.environ['PSEUDONYM_KEY']\ndef go(event, context): return AT_IMPORT\n"
    )
    invoker = InProcessInvoker(tmp_path / "reads.py", "reads.go", "arn", environment={"PSEUDONYM_KEY": "x"})
    assert invoker.invoke(b"{}").payload == b'"x"'
    ours = scenario.invoker("arn:aws:lambda:us-east-1:000000000000:function:weblogs-transform")
    assert ours.environment["PSEUDONYM_KEY"].encode() == scenario.key


@pytest.mark.parametrize("file", ["60-firehose.create_delivery_stream.json", "61-firehose.create_delivery_stream.json"])
def test_a3_1_the_delivery_streams_are_such_as_aws_would_take(file: str) -> None:
    request = json.loads((scenario.folder / "aws" / file).read_text())
    config = parse_create_request(request, region="us-east-1", account="000000000000")
    assert config.name in scenario.delivery_streams
    assert config.destination.lambda_processor is not None
    assert (config.destination.conversion is None) == (config.destination.compression_format == "GZIP")


# What the checks notice.


def test_one_wrong_value_a_lost_row_and_a_doubled_one_are_noticed(expected: Expected) -> None:
    rows = expected.rows
    assert list(checks.differing("rows", reversed(rows), rows)) == []
    changed: list[Row] = [(*rows[0][:-1], "Lynx"), *rows[1:]]
    for wrong in (changed, rows[1:], [*rows, rows[0]]):
        (said,) = checks.differing("rows", wrong, rows)
        assert "rows are missing" in said


def test_rows_of_the_table_compare_with_those_of_the_log() -> None:
    row = ("v", "2015-05-17 10:05:03", "GET", "/a", "HTTP/1.1", 200, None, None, "other")
    times = pa.array([pd.Timestamp(row[1])], pa.timestamp("ns"))
    columns = zip(COLUMNS, row, strict=True)
    table = pa.table({name: times if name == "time" else pa.array([value]) for name, value in columns})
    assert checks.table_rows(table) == [row]


def test_a_wrong_answer_is_noticed(expected: Expected) -> None:
    right = expected.answer
    assert checks.same_answer(right.copy(), right)
    for column in ("hits", "bytes", "status"):
        wrong = right.copy()
        wrong.loc[3, column] += 1
        assert not checks.same_answer(wrong, right)
    assert not checks.same_answer(right.iloc[1:], right)


def test_counts_that_are_not_those_of_the_log_are_noticed(expected: Expected) -> None:
    assert list(checks.counts("x", Account(10_000, 8_602, 1_397, 1), expected)) == []
    assert len(list(checks.counts("x", Account(10_000, 8_603, 1_396, 2), expected))) == 3


class Bucket:
    """As much of a boto3 S3 client as the checks need."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self._objects = objects

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": SimpleNamespace(read=lambda: self._objects[Key])}


def entry(kind: str, key: str, first: int, count: int, shards: tuple[str, ...] = (SHARD,)) -> Entry:
    numbers = tuple((SHARD, str(number), 0) for number in range(first, first + count))
    of = tuple(ShardLineage(shard, numbers[0][1], numbers[-1][1], count) for shard in shards)
    return Entry(kind, numbers, DeliveredObject(kind, "b", key, 1, count, 1, "end", of))


LINES = [line(), line("1.1.1.1"), line("2.2.2.2")]
IN_STREAM = [StreamRecord(SHARD, str(98 + at), data) for at, data in enumerate(LINES)]
BACKUPS = [entry("backup", "later.gz", 100, 1), entry("backup", "first.gz", 98, 2)]


def backed_up(first: bytes, later: bytes) -> list[str]:
    objects = {"first.gz": gzip.compress(first), "later.gz": gzip.compress(later)}
    return list(checks.backup(Bucket(objects), BACKUPS, IN_STREAM, LINES))


def test_a7_13_a_backup_in_the_order_of_sequence_numbers_passes() -> None:
    assert backed_up(LINES[0] + LINES[1], LINES[2]) == []


def test_a7_13_a_backup_that_is_not_the_input_is_noticed() -> None:
    (said,) = backed_up(LINES[1] + LINES[0], LINES[2])
    assert "in the order of sequence numbers" in said
    for first, later in ((LINES[0], LINES[2]), (LINES[0] + LINES[1], LINES[2] + b" "), (LINES[0] * 2, LINES[2])):
        assert len(backed_up(first, later)) == 2
    assert len(list(checks.backup(Bucket({}), [], IN_STREAM, LINES))) == 2
    two = [entry("backup", "first.gz", 98, 3, (SHARD, "shardId-000000000001"))]
    said_of_two = list(checks.backup(Bucket({"first.gz": gzip.compress(b"".join(LINES))}), two, IN_STREAM, LINES))
    assert said_of_two == ["first.gz holds records of 2 shards"]


def failed(**changes: Any) -> list[str]:
    described = {
        "attemptsMade": 1,
        "errorCode": "Lambda.ProcessingFailedStatus",
        "errorMessage": "ProcessingFailed status set for record",
        "rawData": base64.b64encode(b"broken\n").decode(),
    } | changes
    objects = {"errors/x": json.dumps(described).encode() + b"\n"}
    return list(checks.failures("x", Bucket(objects), [entry("processing-failed", "errors/x", 1, 1)], [b"broken\n"]))


def test_a4_9_error_objects_are_held_against_the_lines_that_do_not_parse() -> None:
    assert failed() == []
    assert len(failed(attemptsMade=4)) == len(failed(errorCode="Lambda.FunctionError")) == 1
    assert len(failed(rawData="")) == 1
    assert len(list(checks.failures("x", Bucket({}), [], [b"broken\n"]))) == 1


def test_an_answer_of_no_rows_has_a_table_too() -> None:
    nothing = expect([], KEY).answer
    assert len(nothing) == 0
    verdict = Verdict(nothing, nothing, equal=checks.same_answer(nothing, nothing), scanned_bytes=0)
    assert verdict.equal
    assert verdict.table().row_count == 0

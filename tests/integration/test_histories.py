"""Histories, what is seen of them, and the table of known differences: all that needs no LocalStack."""

import datetime
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.loaders import Loader
from compare import differences
from differences import ROWS, explanation, table
from directed import AGREED, DIRECTED
from histories import SEEDS, history
from localstack_service import running_localstack
from player import Outcome, client, play
from steps import Moment, Named, Step
from visible import UNSAID, visible

PAGE: Final = Path(__file__).parents[2] / "docs" / "model-kinesis.md"
PUT: Final = "PutRecord"
STORY: Final = (
    Step("CreateStream", {"StreamName": Named("flow"), "ShardCount": 1}),
    Step(PUT, {"StreamName": Named("flow"), "Data": b"a", "PartitionKey": "k"}),
    Step(PUT, {"StreamName": Named("flow"), "Data": b"b", "PartitionKey": "k"}),
    Step("GetRecords", {"ShardIterator": "an iterator"}),
)


def outcomes(numbers: tuple[int, int], read: Sequence[int], behind: int = 0, late_ms: int = 0) -> list[Outcome]:
    """What came of STORY: the numbers of both records, and those of the records that were read."""
    arrivals = {numbers[0]: 1_100 + late_ms, numbers[1]: 1_200}
    records = [
        {
            "SequenceNumber": str(number),
            "ApproximateArrivalTimestamp": datetime.datetime.fromtimestamp(arrivals[number] / 1000, datetime.UTC),
            "Data": b"a" if number == numbers[0] else b"b",
        }
        for number in read
    ]
    put = [{"ShardId": "shardId-000000000000", "SequenceNumber": str(number)} for number in numbers]
    return [
        Outcome({}, 1_000, 1_010),
        Outcome(put[0], 1_090, 1_110),
        Outcome(put[1], 1_190, 1_210),
        Outcome({"Records": records, "MillisBehindLatest": behind, "NextShardIterator": "xyz"}, 1_300, 1_310),
    ]


def seen(played: list[Outcome]) -> list[dict[str, Any]]:
    return visible(STORY, played, "h1")


def operations_of(steps: Sequence[Step]) -> set[str]:
    return {step.operation for step in steps}


def references(value: Any, kind: type) -> list[Any]:
    if isinstance(value, kind):
        return [value]
    members = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [found for member in members for found in references(member, kind)]


Played = list[tuple[tuple[Step, ...], list[Outcome]]]


def play_some(model: str, prefix: str) -> Played:
    """The first histories, side by side: pauses take long."""
    kinesis, seeds = client(model), range(12)
    with ThreadPoolExecutor(len(seeds)) as pool:
        outcomes_of = list(pool.map(lambda seed: play(history(seed), kinesis, f"{prefix}{seed}"), seeds))
    return [(history(seed), outcomes_of[seed]) for seed in seeds]


@pytest.fixture(scope="module")
def played(model: str) -> Played:
    return play_some(model, "first")


def test_a_seed_gives_one_history_and_another_seed_another() -> None:
    assert [history(seed) for seed in SEEDS] == [history(seed) for seed in SEEDS]
    assert len({repr(history(seed)) for seed in SEEDS}) == len(SEEDS) == 100


def test_the_histories_ask_for_all_that_reading_and_resharding_needs() -> None:
    steps = [step for seed in SEEDS for step in history(seed)]
    kinds = {step.request["ShardIteratorType"] for step in steps if step.operation == "GetShardIterator"}
    filters = {step.request["ShardFilter"]["Type"] for step in steps if "ShardFilter" in step.request}
    assert kinds >= {"TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"}
    assert filters == {
        "AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP",
    }  # fmt: skip
    assert operations_of(steps) >= {
        "CreateStream", "DeleteStream", "PutRecord", "PutRecords", "GetRecords", "SplitShard", "MergeShards",
        "UpdateShardCount", "ListShards", "DescribeStream", "DescribeStreamSummary", "IncreaseStreamRetentionPeriod",
        "DecreaseStreamRetentionPeriod", "AddTagsToStream", "RemoveTagsFromStream", "ListTagsForStream",
        "RegisterStreamConsumer", "DescribeStreamConsumer", "ListStreamConsumers", "DeregisterStreamConsumer",
        "SubscribeToShard", "Events",
    }  # fmt: skip


def test_moments_are_when_a_pause_was_made() -> None:
    for seed in SEEDS:
        steps = history(seed)
        for step in steps:
            assert all(steps[moment.step].operation == "Pause" for moment in references(step.request, Moment))


def test_what_a_history_takes_for_done_is_done(played: Played) -> None:
    """The shard tree and the positions of the draft are the model's, or the histories would not say what they mean."""
    for steps, each in played:
        for step, outcome in zip(steps, each, strict=True):
            if step.operation == "ListShards" and set(step.request) <= {"StreamName", "StreamARN"}:
                if "Error" not in outcome.answer:
                    listed = [shard["ShardId"] for shard in outcome.answer["Shards"]]
                    assert listed == [shard.id for shard in step.shards]
            elif outcome.answer is None:
                assert "NextToken" in step.request or "ConsumerARN" in step.request or step.operation == "Events"
        reads = [(s, o.answer) for s, o in zip(steps, each, strict=True) if s.operation == "GetRecords" and o.answer]
        behind = [step.records > 0 for step, answer in reads if "Error" not in answer]
        assert behind == [answer["MillisBehindLatest"] > 0 for _, answer in reads if "Error" not in answer]


def test_two_plays_on_one_service_look_the_same(model: str, played: Played) -> None:
    for seed, ((steps, first), (_, second)) in enumerate(zip(played, play_some(model, "second"), strict=True)):
        assert visible(steps, first, f"first{seed}") == visible(steps, second, f"second{seed}")


@pytest.mark.parametrize(
    "otherwise",
    [
        outcomes((10, 20), [10]),
        outcomes((10, 20), [20, 10]),
        outcomes((10, 20), [10, 20], behind=1),
        outcomes((20, 10), [20, 10]),
        outcomes((10, 20), [10, 20], late_ms=100),
        outcomes((10, 20), [10, 20], late_ms=-100),
        [*outcomes((10, 20), [10, 20])[:3], Outcome({"Error": "InternalFailure", "Status": 500}, 1_300, 1_310)],
        [*outcomes((10, 20), [10, 20])[:3], Outcome(None, 1_300, 1_310)],
    ],
    ids=["lost", "disordered", "behind", "falling", "late", "early", "failed", "unsaid"],
)
def test_what_a_client_would_notice_is_a_difference(otherwise: list[Outcome]) -> None:
    usual = seen(outcomes((1_000, 2_000), [1_000, 2_000]))
    found = differences(STORY, usual, seen(otherwise), otherwise)
    assert found
    assert [each for each in found if explanation(each) is not None] == []


def test_what_differs_between_any_two_services_is_none() -> None:
    one = outcomes((10, 20), [10, 20], late_ms=3)
    other = [
        replace(each, began_ms=each.began_ms + 3, ended_ms=each.ended_ms + 3)
        for each in outcomes((7_000, 8_000), [7_000, 8_000])
    ]
    assert differences(STORY, seen(one), seen(other), other) == []
    assert seen(one)[3] == {
        "Records": [
            {
                "SequenceNumber": f"record {rank} of shardId-000000000000",
                "ApproximateArrivalTimestamp": "when it was made",
                "Data": data,
            }
            for rank, data in enumerate((b"a", b"b"))
        ],
        "MillisBehindLatest": "zero",
        "NextShardIterator": "an iterator",
    }


def test_a_step_that_cannot_be_asked_is_seen_as_such() -> None:
    assert seen([*outcomes((1, 2), [])[:3], Outcome(None, 1, 1)])[3] == UNSAID


def test_the_page_shows_the_table() -> None:
    fix = "put what `.venv/bin/python tests/integration/differences.py` prints into docs/model-kinesis.md"
    assert table() in PAGE.read_text(), fix
    assert len(table().splitlines()) == len(ROWS) + 2
    assert all(line.count("|") == 6 for line in table().splitlines()), "a cell has a bar"


def test_what_rows_quote_of_botocores_service_model_stands_there() -> None:
    model = json.dumps(Loader().load_service_model("kinesis", "service-2"), ensure_ascii=False)
    texts = re.sub(r"<[^>]+>", "", model)
    quotes = [quote for row in ROWS for quote in re.findall(r'"([^"]+)"', row.source.partition("BC:")[2])]
    assert len(quotes) >= 15
    assert [quote for quote in quotes if quote not in texts] == []


def test_every_row_has_a_name_of_its_own_and_every_history_a_row() -> None:
    names = [row.id for row in ROWS]
    assert len(set(names)) == len(names)
    assert set(DIRECTED) <= set(names)
    assert AGREED.keys().isdisjoint(names)


@pytest.mark.parametrize("named", ["", "http://127.0.0.1:9"])
def test_without_localstack_and_docker_the_command_that_starts_it_is_named(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localstack_service._DEFAULT", "http://127.0.0.1:9")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("LOCALSTACK_ENDPOINT", named)
    with (
        pytest.raises(RuntimeError, match=r"docker run --rm -p 127\.0\.0\.1:4566:4566 .*localstack/localstack:4"),
        running_localstack(),
    ):
        pass

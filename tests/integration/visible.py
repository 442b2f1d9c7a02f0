"""What a client sees of a played history, without what may differ between any two services.

Sequence numbers become their rank among the numbers of their shard, so that numbers which do not grow show; times
become whether they fall into the call that made them; iterators and tokens become whether there is one; names lose the
prefix of the play. All else stays as it is.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from player import Outcome
from steps import Step

UNSAID: Final = {"Unsaid": "the step refers to something that was not answered"}
_SLACK_MS: Final = 2
_LONG: Final = 64
_UNORDERED: Final = frozenset({
    "ParentShards", "ShardLevelMetrics", "CurrentShardLevelMetrics", "DesiredShardLevelMetrics",
})  # fmt: skip
_CONSUMER: Final = re.compile(r"(.*/consumer/)([\w.-]+):(\d+)")


def visible(steps: Sequence[Step], outcomes: Sequence[Outcome], prefix: str) -> list[dict[str, Any]]:
    """One JSON-like object a step."""
    view = _View(steps, outcomes, prefix)
    return [view.of(step, outcome) for step, outcome in zip(steps, outcomes, strict=True)]


class _View:
    def __init__(self, steps: Sequence[Step], outcomes: Sequence[Outcome], prefix: str) -> None:
        self._prefix = prefix
        self._number_puts: dict[str, Outcome] = {}
        self._numbers: dict[str, list[int]] = {}
        self._created: Outcome | None = None
        self._registered: dict[str, list[Outcome]] = {}
        for step, outcome in zip(steps, outcomes, strict=True):
            self._learn(step, outcome)
        for numbers in self._numbers.values():
            numbers.sort()
        self._shard_of = {str(number): shard for shard, numbers in self._numbers.items() for number in numbers}

    def of(self, step: Step, outcome: Outcome) -> dict[str, Any]:
        if outcome.answer is None:
            return UNSAID
        seen = self._seen(outcome.answer)
        assert isinstance(seen, dict)
        if "ContinuationSequenceNumber" in seen:  # any number up to the next record's will do
            number = seen["ContinuationSequenceNumber"]
            seen["ContinuationSequenceNumber"] = self._up_to(step.request["ShardId"], number)
        return seen

    def _learn(self, step: Step, outcome: Outcome) -> None:
        answer = outcome.answer or {}
        if step.operation == "CreateStream" and "Error" not in answer:
            self._created = outcome
        if step.operation == "RegisterStreamConsumer" and "Error" not in answer:
            self._registered.setdefault(step.request["ConsumerName"], []).append(outcome)
        put = {"PutRecord": [answer], "PutRecords": answer.get("Records", [])}.get(step.operation, [])
        for entry in put:
            if "SequenceNumber" in entry:
                self._number_puts[entry["SequenceNumber"]] = outcome
                self._numbers.setdefault(entry["ShardId"], []).append(int(entry["SequenceNumber"]))

    def _seen(self, value: Any, within: Mapping[str, Any] | None = None, name: str = "") -> Any:
        within = within or {}
        match value:
            case Mapping():
                members = {key: self._seen(member, value, key) for key, member in value.items()}
                members.pop("ResponseMetadata", None)
                if "SequenceNumberRange" in members:
                    members["SequenceNumberRange"] = self._range(value["ShardId"], value["SequenceNumberRange"])
                return members
            case list():
                seen = [self._seen(member) for member in value]
                return sorted(seen) if name in _UNORDERED else seen
            case bytes():
                return value if len(value) <= _LONG else f"{len(value)} bytes: {value[:_LONG]!r}..."
            case datetime.datetime():
                return self._time(name, value, within)
            case str():
                return self._text(name, value)
        if name == "MillisBehindLatest":
            return "zero" if value == 0 else "more"
        return value

    def _text(self, name: str, value: str) -> str:
        if name == "SequenceNumber":
            return self._number(value)
        if name in {"ShardIterator", "NextShardIterator"}:
            return "an iterator"
        if name == "NextToken":
            return "a token"
        value = value.replace(f"{self._prefix}-", "")
        consumer = _CONSUMER.fullmatch(value)
        if consumer is None:
            return value
        path, who, created_s = consumer.groups()
        return f"{path}{who}:{self._within(self._registered.get(who, ()), int(created_s) * 1000, 1000)}"

    def _number(self, number: str) -> str:
        shard = self._shard_of.get(number)
        return "unknown" if shard is None else f"record {self._numbers[shard].index(int(number))} of {shard}"

    def _range(self, shard: str, numbers: Mapping[str, str]) -> dict[str, str]:
        return {end: self._up_to(shard, number) for end, number in numbers.items()}

    def _up_to(self, shard: str, number: str) -> str:
        """How many of the shard's records have numbers up to that one."""
        put = self._numbers.get(shard, [])
        return f"{sum(one <= int(number) for one in put)} of {len(put)} records"

    def _time(self, name: str, moment: datetime.datetime, within: Mapping[str, Any]) -> str:
        ms = round(moment.timestamp() * 1000)
        calls: Sequence[Outcome] = ()
        if name == "ApproximateArrivalTimestamp" and within.get("SequenceNumber") in self._number_puts:
            calls = (self._number_puts[within["SequenceNumber"]],)
        elif name == "StreamCreationTimestamp" and self._created is not None:
            calls = (self._created,)
        elif name == "ConsumerCreationTimestamp":
            calls = self._registered.get(within["ConsumerName"], ())
        return self._within(calls, ms, 1)

    @staticmethod
    def _within(calls: Sequence[Outcome], ms: int, unit_ms: int) -> str:
        """Whether a time of `unit_ms` that begins at `ms` falls into one of `calls`."""
        fits = any(call.began_ms - _SLACK_MS - unit_ms < ms <= call.ended_ms + _SLACK_MS for call in calls)
        return "when it was made" if fits else "at another time"

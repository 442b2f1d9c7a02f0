"""How a known difference is recognised: the functions that the rows of `differences.py` name."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import botocore.session
from compare import ABSENT, Difference
from draft import KEYS
from steps import STREAM, Answered, Moment, Named, Step

Matcher = Callable[[Difference], bool]

_RECORD_BYTES: Final = 1 << 20
_MOST_SHARDS: Final = 64


def all_of(*matchers: Matcher) -> Matcher:
    return lambda difference: all(matches(difference) for matches in matchers)


def of(*operations: str) -> Matcher:
    """The step is one of `operations`."""
    return lambda difference: difference.step.operation in operations


def asks_for(argument: str) -> Matcher:
    """The step has that argument."""
    return lambda difference: argument in difference.step.request


def at(*path: str) -> Matcher:
    """The difference is where `path` ends."""
    return lambda difference: difference.path[-len(path) :] == path


def says(model: Any, localstack: Any) -> Matcher:
    return lambda difference: (difference.model, difference.localstack) == (model, localstack)


def refused(model: str, localstack: str, status: int = 400) -> Matcher:
    """Both refuse, with those codes."""
    return all_of(
        lambda difference: difference.path == ("Error",),
        says({"Error": model, "Status": 400}, {"Error": localstack, "Status": status}),
    )


def taken(model: str) -> Matcher:
    """The model refuses with that code what LocalStack takes."""
    return lambda difference: (
        difference.path == ()
        and difference.model == {"Error": model, "Status": 400}
        and "Error" not in difference.localstack
        and "Unsaid" not in difference.localstack
    )


def denied(difference: Difference) -> bool:
    """LocalStack knows no such operation, and the model answers."""
    unknown = {"Error": "AccessDeniedException", "Status": 400}
    return difference.path == () and difference.localstack == unknown and "Error" not in difference.model


def breaks_a_shape(difference: Difference) -> bool:
    """An argument is longer, larger or otherwise than botocore's service model allows, or a record is too large."""
    shape = _service_model().operation_model(difference.step.operation).input_shape
    entries = [difference.step.request, *difference.step.request.get("Records", [])]
    return _breaks(shape, difference.step.request) or any(_size(entry) > _RECORD_BYTES for entry in entries)


def beyond_scaling_limits(difference: Difference) -> bool:
    """UpdateShardCount to more than double or less than half, or for the eleventh time."""
    target = difference.step.request["TargetShardCount"]
    count = sum(shard.closed is None for shard in difference.step.shards)
    before = sum(step.operation == "UpdateShardCount" for step in difference.steps[: difference.number])
    return target > 2 * count or 2 * target < count or before >= 10


def beyond_put_limits(difference: Difference) -> bool:
    """PutRecords of too many records, or of a record that is too large."""
    sizes = [_size(entry) for entry in difference.step.request["Records"]]
    return len(sizes) > 500 or max(sizes) > _RECORD_BYTES


def closed_shard_named(difference: Difference) -> bool:
    closed = {shard.id for shard in difference.step.shards if shard.closed is not None}
    return not closed.isdisjoint(str(value) for value in difference.step.request.values())


def upper_shard_first(difference: Difference) -> bool:
    """The second of a stream's only two shards is merged with the first."""
    request = difference.step.request
    named = [request["AdjacentShardToMerge"], request["ShardToMerge"]]
    return named == [shard.id for shard in difference.step.shards]


def empty_shard_named(difference: Difference) -> bool:
    return any(
        shard.id == difference.step.request["ShardId"] and shard.records == 0 for shard in difference.step.shards
    )


def no_iterator_given(difference: Difference) -> bool:
    """The ShardIterator is text of ours."""
    return isinstance(difference.step.request["ShardIterator"], str)


def new_key_is_the_first(difference: Difference) -> bool:
    return difference.step.request["NewStartingHashKey"] == "0"


def records_left(difference: Difference) -> bool:
    return difference.step.records > 0


def even_bound_a_few_keys_low(difference: Difference) -> bool:
    """The model's bound comes of an even split, LocalStack's is a little below it."""
    end = difference.path[-1:]
    if end not in {("StartingHashKey",), ("EndingHashKey",)}:
        return False
    start = int(difference.model) + (end == ("EndingHashKey",))
    is_even = any(KEYS * ((start * count + KEYS // 2) // KEYS) // count == start for count in range(2, _MOST_SHARDS))
    return is_even and 1 <= int(difference.model) - int(difference.localstack) <= 8


def ending_number_below_all(difference: Difference) -> bool:
    below, _, put = str(difference.model).removesuffix(" records").partition(" of ")
    is_end = at("SequenceNumberRange", "EndingSequenceNumber")(difference)
    return is_end and below == put and difference.localstack == f"0 of {put} records"


def every_shard(difference: Difference) -> bool:
    """For the beginning of the stream, the model lists the shards that it was made with, LocalStack all."""
    wanted = _filter(difference)
    moment = wanted.get("Timestamp")
    is_before = wanted.get("Type") == "AT_TIMESTAMP" and isinstance(moment, Moment) and moment.plus_s < -60
    first = [shard.id for shard in difference.step.shards if shard.created == 0]
    return (
        (wanted.get("Type") == "AT_TRIM_HORIZON" or is_before)
        and _ids(difference.model) == first
        and _ids(difference.localstack) == [shard.id for shard in difference.step.shards]
    )


def shards_of_the_second(difference: Difference) -> bool:
    """LocalStack lists shards besides, which were made or closed in the second of the filter's Timestamp."""
    moment = _filter(difference).get("Timestamp")
    if not isinstance(moment, Moment):
        return False
    second = int(difference.outcomes[moment.step].ended_ms // 1000 + moment.plus_s)
    model, localstack = set(_ids(difference.model)), set(_ids(difference.localstack))
    made_by = {shard.id: (shard.created, shard.closed) for shard in difference.step.shards}
    return model < localstack and all(
        any(_was_made_in(difference, number, second) for number in made_by[shard]) for shard in localstack - model
    )


def records_of_the_second(difference: Difference) -> bool:
    """From within a second on, LocalStack reads what the model does not."""
    iterator = difference.step.request.get("ShardIterator")
    if not isinstance(iterator, Answered) or not at("Records")(difference):
        return False
    moment = difference.steps[iterator.step].request.get("Timestamp")
    is_within = isinstance(moment, Moment) and moment.plus_s % 1 != 0
    return is_within and difference.model == [] and len(difference.localstack) > 0


def second_page_unfiltered(difference: Difference) -> bool:
    """The second page of the open shards holds closed ones."""
    if "NextToken" not in difference.step.request or not at("Shards")(difference):
        return False
    asked = difference.steps[difference.step.request["NextToken"].step].request
    closed = {shard.id for shard in difference.step.shards if shard.closed is not None}
    return (
        asked.get("ShardFilter") == {"Type": "AT_LATEST"}
        and closed.isdisjoint(_ids(difference.model))
        and not closed.isdisjoint(_ids(difference.localstack))
    )


def uneven_shards(difference: Difference) -> bool:
    """After UpdateShardCount the model's open shards are even, LocalStack's are not."""
    if not at("Shards")(difference) or difference.steps[difference.number - 1].operation != "UpdateShardCount":
        return False
    are_lists = isinstance(difference.model, list) and isinstance(difference.localstack, list)
    return are_lists and _spread(difference.model) <= 1 < _spread(difference.localstack)


def deleted_by_refusal(difference: Difference) -> bool:
    """After DeleteStream was refused, LocalStack does not find the stream."""
    before = difference.steps[: difference.number]
    deletes = [step for step in before if step.operation == "DeleteStream" and _is_of_the_stream(step)]
    missing = {"Error": "ResourceNotFoundException", "Status": 400}
    return (
        difference.path == ()
        and bool(deletes)
        and all("EnforceConsumerDeletion" not in step.request for step in deletes)
        and difference.localstack == missing
    )


def end_of_subscription(difference: Difference) -> bool:
    is_children = at("ChildShards")(difference) and difference.localstack == ABSENT
    is_number = at("ContinuationSequenceNumber")(difference) and difference.model == ABSENT
    return difference.step.operation == "Events" and (is_children or is_number) and closed_shard_named(difference)


@cache
def _service_model() -> Any:
    return botocore.session.get_session().get_service_model("kinesis")


def _breaks(shape: Any, value: Any) -> bool:
    if isinstance(value, Mapping):
        if shape.type_name == "structure":
            return any(_breaks(shape.members[name], member) for name, member in value.items())
        return any(_breaks(shape.key, name) or _breaks(shape.value, member) for name, member in value.items())
    if isinstance(value, list):
        return _is_out_of(shape.metadata, len(value)) or any(_breaks(shape.member, member) for member in value)
    if isinstance(value, str):
        pattern, names = shape.metadata.get("pattern"), shape.metadata.get("enum")
        is_other = (pattern and not re.fullmatch(pattern, value)) or (names and value not in names)
        return bool(is_other) or _is_out_of(shape.metadata, len(value))
    return isinstance(value, int) and _is_out_of(shape.metadata, value)


def _is_out_of(limits: Mapping[str, Any], size: int) -> bool:
    return not limits.get("min", size) <= size <= limits.get("max", size)


def _size(entry: Mapping[str, Any]) -> int:
    return len(entry.get("Data", b"")) + len(str(entry.get("PartitionKey", "")).encode())


def _filter(difference: Difference) -> Mapping[str, Any]:
    """The ShardFilter of a ListShards whose lists of shards differ."""
    found: Mapping[str, Any] = difference.step.request.get("ShardFilter", {}) if at("Shards")(difference) else {}
    return found


def _ids(shards: Any) -> list[str]:
    return [shard["ShardId"] for shard in shards] if isinstance(shards, list) else []


def _is_of_the_stream(step: Step) -> bool:
    return any(isinstance(value, Named) and value.name == STREAM for value in step.request.values())


def _was_made_in(difference: Difference, number: int | None, second: int) -> bool:
    if number is None:
        return False
    outcome = difference.outcomes[number]
    return outcome.began_ms // 1000 <= second <= outcome.ended_ms // 1000


def _spread(shards: list[dict[str, Any]]) -> int:
    """By how much the widest open shard is wider than the narrowest."""
    is_open = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
    ranges = [shard["HashKeyRange"] for shard in is_open]
    widths = [int(each["EndingHashKey"]) - int(each["StartingHashKey"]) for each in ranges]
    return max(widths, default=0) - min(widths, default=0)

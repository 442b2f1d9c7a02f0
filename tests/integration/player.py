"""Plays a history on a service, through boto3, and keeps what it said."""

import datetime
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from localstack_client.session import Session
from steps import STREAM, Answered, Moment, Named, Step

_SETTLE_S: Final = 30.0
_CHANGES: Final = frozenset({
    "CreateStream", "SplitShard", "MergeShards", "UpdateShardCount", "StartStreamEncryption", "StopStreamEncryption",
})  # fmt: skip
_making_clients: Final = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What came of one step.

    Attributes:
        answer: the parsed answer; of an error `{"Error": code, "Status": HTTP status}`; None when the step refers to
            something that the service did not say.
        began_ms: when it was asked.
        ended_ms: when it had answered.
    """

    answer: Mapping[str, Any] | None
    began_ms: int
    ended_ms: int


def client(endpoint: str) -> Any:
    """A client of the service at `endpoint`, the same for both services: it checks nothing and tries once."""
    with _making_clients:
        return Session(localstack_host=urlsplit(endpoint).netloc).client(
            "kinesis",
            config=Config(
                parameter_validation=False,
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=16,
                read_timeout=120,
            ),
        )


def play(steps: Sequence[Step], kinesis: Any, prefix: str) -> list[Outcome]:
    """Plays `steps` on streams whose names begin with `prefix`, and leaves none of them."""
    player = _Player(kinesis, prefix)
    try:
        for step in steps:
            player.make(step)
    finally:
        player.hang_up()
        with suppress(ClientError):
            kinesis.delete_stream(StreamName=player.name(STREAM), EnforceConsumerDeletion=True)
    return player.outcomes


class _Player:
    def __init__(self, kinesis: Any, prefix: str) -> None:
        self.outcomes: list[Outcome] = []
        self._kinesis = kinesis
        self._prefix = prefix
        self._moments: dict[int, int] = {}
        self._subscriptions: dict[int, Any] = {}

    def name(self, stream: str) -> str:
        return f"{self._prefix}-{stream}"

    def hang_up(self) -> None:
        """Ends the subscriptions that nobody reads."""
        for events in self._subscriptions.values():
            events.close()

    def make(self, step: Step) -> None:
        began_ms = _now_ms()
        if step.operation == "Pause":
            moment_s = began_ms // 1000 + 1
            while (now_ms := _now_ms()) <= moment_s * 1000:
                time.sleep(moment_s - now_ms / 1000 + 0.001)
            self._moments[len(self.outcomes)] = moment_s * 1000
            answer: Mapping[str, Any] | None = {}
        elif step.operation == "Events":
            answer = self._events(self._subscriptions.pop(step.request["Subscription"], None), step.records)
        else:
            try:
                request = self._resolved(step.request)
            except _Unsaid:
                answer = None
            else:
                answer = self._call(step, request)
                if "Error" not in answer:
                    self._settle(step, request)
        self.outcomes.append(Outcome(answer, began_ms, _now_ms()))

    def _resolved(self, value: Any) -> Any:
        match value:
            case Answered(step, path):
                found: Any = self.outcomes[step].answer
                for part in path:
                    try:
                        found = found[part]
                    except (KeyError, IndexError, TypeError) as error:
                        raise _Unsaid from error
                return found
            case Named(name, arn):
                return f"arn:aws:kinesis:us-east-1:000000000000:stream/{self.name(name)}" if arn else self.name(name)
            case Moment(step, plus_s):
                ms = self._moments[step] + round(plus_s * 1000)
                return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
            case Mapping():
                return {key: self._resolved(member) for key, member in value.items()}
            case list():
                return [self._resolved(member) for member in value]
        return value

    def _call(self, step: Step, request: Mapping[str, Any]) -> Mapping[str, Any]:
        call = getattr(self._kinesis, xform_name(step.operation))
        while True:
            try:
                answer = dict(call(**request))
            except ClientError as error:
                if _is_of_another_play(error):
                    time.sleep(0.01)
                    continue
                return _refusal(error)
            if step.operation == "SubscribeToShard":
                self._subscriptions[len(self.outcomes)] = answer.pop("EventStream")
            return answer

    def _settle(self, step: Step, request: Mapping[str, Any]) -> None:
        """Waits for the end of what the call has begun: how long that takes is no part of the comparison."""
        describe = self._kinesis.describe_stream_summary
        of_stream = {name: request[name] for name in ("StreamName", "StreamARN") if name in request}
        if step.operation in _CHANGES:
            _wait(lambda: describe(**of_stream)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")
        elif step.operation == "DeleteStream":
            _wait(lambda: not _is_there(lambda: describe(**of_stream)))
        elif step.operation in {"RegisterStreamConsumer", "DeregisterStreamConsumer"}:
            consumer = self._kinesis.describe_stream_consumer
            if step.operation == "DeregisterStreamConsumer":
                _wait(lambda: not _is_there(lambda: consumer(**request)))
            else:
                _wait(lambda: consumer(**request)["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE")

    @staticmethod
    def _events(events: Any, most: int) -> Mapping[str, Any] | None:
        """What the first events of a subscription hold together, until `most` records came, but one event at least.

        There are events without records, so waiting for a record that never comes ends too.
        """
        if events is None:
            return None
        give_up_s = time.monotonic() + _SETTLE_S
        records: list[Any] = []
        last: dict[str, Any] = {}
        try:
            for event in events:
                last = event["SubscribeToShardEvent"]
                records += last["Records"]
                if len(records) >= most or time.monotonic() > give_up_s:
                    break
        except ClientError as error:
            return _refusal(error)
        finally:
            events.close()
        return last | {"Records": records}


class _Unsaid(Exception):
    """A reference to what the service did not say."""


def _refusal(error: ClientError) -> dict[str, Any]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return {"Error": error.response["Error"]["Code"], "Status": status}


def _is_of_another_play(error: ClientError) -> bool:
    """Whether LocalStack said it because of the histories that are played beside this one.

    It makes five calls at a time of most operations, and SubscribeToShard asks every stream for its consumers, which
    fails when one is being deleted.
    """
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    return message.startswith("Rate limit exceeded for") or (
        error.operation_name == "SubscribeToShard" and code == "InternalError" and "ResourceNotFound" in message
    )


def _wait(done: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + _SETTLE_S
    while not done():
        if time.monotonic() > give_up_s:
            message = f"The service did not settle within {_SETTLE_S} s."
            raise TimeoutError(message)
        time.sleep(0.005)


def _is_there(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return False
        raise
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

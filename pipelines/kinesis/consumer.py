"""The registered consumer that enhanced fan-out reads as (B14)."""

import random
from typing import Any, Final

from botocore.exceptions import ClientError

from pipelines.runtime.aws import aws_errors, error_code
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import ConfigurationError, NotFoundError, ServiceFaultError, ThrottledError

READY_S: Final = 60.0
"""A consumer that is not ACTIVE after this time is given up."""
_LOOK_S: Final = 1.0
_FIX: Final = "`aws kinesis list-stream-consumers --stream-arn {}` shows them; deregister one that nobody needs"


def consumer_arn(kinesis: Any, stream: str, consumer: str, clock: Clock) -> str:
    """The ARN of a consumer that can subscribe; registers the consumer where there is none of its name.

    Any number of workers may call it at once: all get the same ARN. It is never deregistered here: a pipeline that
    stops may go on later, other workers may still read, and a name registered anew has another ARN.

    Args:
        kinesis: a boto3 Kinesis client that retries by itself.
        stream: name or ARN.
        consumer: its name, or its ConsumerARN, which must exist.
        clock: for the wait until it is ACTIVE.

    Returns:
        The ConsumerARN for SubscribeToShard.

    Raises:
        ConfigurationError: a ConsumerARN of another stream, or a name that AWS refuses.
        NotFoundError: there is no such stream, or no consumer of that ARN.
        ThrottledError: the stream has as many consumers as it can have (20), or five are being made.
        ServiceFaultError: it was not ACTIVE within `READY_S`.
        HydrantError: any other error of AWS.
    """
    what = f"consumer {consumer} of Kinesis stream {stream}"
    with aws_errors(what):
        if consumer.startswith("arn:"):
            stream_arn = _stream_of(consumer, stream)
            named = {"ConsumerARN": consumer}
        else:
            stream_arn = _arn_of(kinesis, stream)
            named = {"StreamARN": stream_arn, "ConsumerName": consumer}
        end_s = clock.monotonic_s() + READY_S
        while True:
            described = _describe(kinesis, named)
            if described is not None and described["ConsumerStatus"] == "ACTIVE":
                return str(described["ConsumerARN"])
            refused = None
            if described is None:
                if "ConsumerARN" in named:
                    message = f"There is no {what}."
                    raise NotFoundError(message, fix=_FIX.format(stream_arn))
                refused = _register(kinesis, named)
            if clock.monotonic_s() >= end_s:
                if refused is not None:
                    message = f"{what[0].upper()}{what[1:]} cannot be registered: {refused}"
                    raise ThrottledError(message, fix=_FIX.format(stream_arn)) from refused
                message = (
                    f"The {what} is not ACTIVE after {READY_S:.0f} s: {described and described['ConsumerStatus']}."
                )
                raise ServiceFaultError(message, fix="try again")
            clock.sleep(random.uniform(_LOOK_S / 2, _LOOK_S))


def _stream_of(consumer: str, stream: str) -> str:
    stream_arn = consumer.partition("/consumer/")[0]
    if stream not in (stream_arn, stream_arn.rpartition(":stream/")[2]):
        message = f"{consumer} is no consumer of Kinesis stream {stream}."
        raise ConfigurationError(message, fix="give the consumer's name, or the ConsumerARN of this stream's consumer")
    return stream_arn


def _arn_of(kinesis: Any, stream: str) -> str:
    if stream.startswith("arn:"):
        return stream
    return str(kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"])


def _describe(kinesis: Any, named: dict[str, str]) -> Any:
    """The consumer's description; None when there is none."""
    try:
        return kinesis.describe_stream_consumer(**named)["ConsumerDescription"]
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        return None


def _register(kinesis: Any, named: dict[str, str]) -> ClientError | None:
    """Registers the consumer. Returns the error when too many are registered or being so, which can change."""
    try:
        kinesis.register_stream_consumer(**named)
    except ClientError as error:
        if error_code(error) == "LimitExceededException":
            return error
        if error_code(error) != "ResourceInUseException":  # another worker has registered it just now
            raise
    return None

"""The Kinesis stream behind a delivery stream: how what a delivery stream takes is read by others (C1).

AWS has no public call that reads a delivery stream. One whose source is a Kinesis stream has its records there, for
everyone who may read the stream; what is put into one of Direct PUT is nowhere else.
"""

import re
from typing import Any, Final

from pipelines.firehose.config import KinesisSource
from pipelines.firehose.parse import description_of
from pipelines.runtime.errors import ConfigurationError

_ARN: Final = re.compile(r"arn:[\w-]+:firehose:[^:]*:[^:]*:deliverystream/(.+)")


def kinesis_source(client: Any, delivery_stream: str) -> KinesisSource:
    """The Kinesis stream that a delivery stream reads, to be read in its place.

    Its records are those that the delivery stream gets: as they were put, before any function of it. They are there
    whatever the delivery stream's status is (A1.4) and wherever it delivers to.

    Args:
        client: a boto3 Firehose client.
        delivery_stream: name or ARN; of an ARN the name counts, in the client's region and account.

    Raises:
        NotFoundError: there is no such delivery stream.
        ConfigurationError: an ARN of something else, or a delivery stream whose source is no Kinesis stream (A1.3).
    """
    name = _name(delivery_stream)
    described = description_of(client, name)
    kind = described["DeliveryStreamType"]
    if kind != "KinesisStreamAsSource":
        message = f"Delivery stream {name} is of the type {kind}: AWS has no public call that reads its records."
        fix = "create it with DeliveryStreamType KinesisStreamAsSource, and put the records into its Kinesis stream"
        raise ConfigurationError(message, fix=fix)
    source = (described.get("Source") or {}).get("KinesisStreamSourceDescription")
    if not source:
        message = f"DescribeDeliveryStream does not say which Kinesis stream delivery stream {name} reads."
        raise ConfigurationError(message, fix="name the Kinesis stream itself")
    return KinesisSource(source["KinesisStreamARN"], source["RoleARN"])


def _name(delivery_stream: str) -> str:
    """The name of a delivery stream that is given by its name or ARN.

    Raises:
        ConfigurationError: an ARN of something else.
    """
    if not delivery_stream.startswith("arn:"):
        return delivery_stream
    found = _ARN.fullmatch(delivery_stream)
    if found is None:
        message = f"{delivery_stream} is the ARN of no delivery stream."
        raise ConfigurationError(message, fix="write arn:aws:firehose:REGION:ACCOUNT:deliverystream/NAME")
    return found.group(1)

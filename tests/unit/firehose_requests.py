"""CreateDeliveryStream requests for the tests: one that has everything, and how to change a copy of it."""

import copy
from typing import Any

ROLE = "arn:aws:iam::123456789012:role/firehose"
BUCKET = "arn:aws:s3:::lake"
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:transform"
REGION = "us-east-1"
ACCOUNT = "123456789012"

SMALLEST: dict[str, Any] = {
    "DeliveryStreamName": "orders",
    "DeliveryStreamType": "KinesisStreamAsSource",
    "KinesisStreamSourceConfiguration": {
        "KinesisStreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/orders-in",
        "RoleARN": ROLE,
    },
    "ExtendedS3DestinationConfiguration": {"RoleARN": ROLE, "BucketARN": BUCKET},
}

CONVERSION: dict[str, Any] = {
    "Enabled": True,
    "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
    "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {}}},
    "SchemaConfiguration": {"RoleARN": ROLE, "DatabaseName": "shop", "TableName": "orders"},
}

PARTITIONED_PREFIX: dict[str, Any] = {
    "Prefix": "c=!{partitionKeyFromQuery:c}/",
    "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
    "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 60},
    "DynamicPartitioningConfiguration": {"Enabled": True, "RetryOptions": {"DurationInSeconds": 10}},
}

QUERY: dict[str, Any] = {
    "Type": "MetadataExtraction",
    "Parameters": [
        {"ParameterName": "MetadataExtractionQuery", "ParameterValue": "{c:.customer}"},
        {"ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6"},
    ],
}


def request(**s3: Any) -> dict[str, Any]:
    """The smallest request, with these members of its extended S3 destination."""
    made = copy.deepcopy(SMALLEST)
    made["ExtendedS3DestinationConfiguration"].update(copy.deepcopy(s3))
    return made


def processing(*processors: dict[str, Any], enabled: bool = True) -> dict[str, Any]:
    """A ProcessingConfiguration."""
    return {"Enabled": enabled, "Processors": list(processors)}


def function(**parameters: str) -> dict[str, Any]:
    """A Lambda processor with these parameters beside its ARN."""
    given = {"LambdaArn": LAMBDA} | parameters
    return {"Type": "Lambda", "Parameters": [{"ParameterName": n, "ParameterValue": v} for n, v in given.items()]}

"""LocalStack runs this once it is ready: it creates what the scenarios declare, from the same requests in AWS's shapes.

Glue, Firehose and Lambda are not LocalStack's here. What is there already is left; anything else that fails makes the
hook fail, and with it LocalStack's health check.
"""

import json
import re
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

SCENARIOS = Path("/etc/hydrant/scenarios")
SERVICES = ("kinesis", "s3")
NAME = re.compile(r"\d+-([\w-]+)\.(\w+)")


def client(service: str) -> Any:
    """A client of the LocalStack that runs this."""
    return boto3.client(
        service,
        endpoint_url="http://localhost:4566",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


EXISTS = ("ResourceInUseException", "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
failed = []
for path in sorted(SCENARIOS.glob("*/aws/*.json")):
    found = NAME.fullmatch(path.stem)
    if found is None or found.group(1) not in SERVICES:
        continue
    service, operation = found.groups()
    request = json.loads(path.read_text())
    try:
        kinesis = client("kinesis")
        getattr(client(service), operation)(**request)
        if (service, operation) == ("kinesis", "create_stream"):
            kinesis.get_waiter("stream_exists").wait(StreamName=request["StreamName"], WaiterConfig={"Delay": 1})
        print(f"{path.parent.parent.name}: {service} {operation}")
    except ClientError as error:
        print(f"{path.parent.parent.name}: {service} {operation}: {error}")
        if error.response["Error"]["Code"] not in EXISTS:
            failed.append(f"{path.parent.parent.name}: {service} {operation}")
if failed:
    message = f"not created: {', '.join(failed)}"
    raise RuntimeError(message)

"""The model Kinesis as a process of its own, and what tests say to it: through boto3, and through bare sockets."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError


def start(*arguments: str) -> tuple["subprocess.Popen[str]", dict[str, Any]]:
    command = [sys.executable, "-m", "infra.embedded.kinesis_server", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def stop(process: "subprocess.Popen[str]", how: signal.Signals) -> None:
    process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


def client_of(line: dict[str, Any]) -> Any:
    return boto3.client(
        "kinesis",
        endpoint_url=line["endpoint"],
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )


def order(line: dict[str, Any], wanted: dict[str, Any]) -> None:
    urllib.request.urlopen(f"{line['endpoint']}/_faults", json.dumps(wanted).encode(), timeout=5).close()


def advance(line: dict[str, Any], seconds: float) -> int:
    """What the service says its time is now, in milliseconds."""
    body = json.dumps({"advance_s": seconds}).encode()
    with urllib.request.urlopen(f"{line['endpoint']}/_clock", body, timeout=5) as answer:
        now: int = json.loads(answer.read())["now_ms"]
        return now


def refused(call: Any, **request: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call(**request)
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def first_shard(kinesis: Any, stream: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    shard = more.pop("ShardId", "shardId-000000000000")
    iterator: str = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind, **more)[
        "ShardIterator"
    ]
    return iterator


def exchange(line: dict[str, Any], request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", line["port"]), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while more := connection.recv(65_536):
            answer += more
        return answer

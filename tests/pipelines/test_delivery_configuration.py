"""What a user of `hydrant deliver` sees when something is not there: one sentence with the fix, status 1, no traceback.

The command is a process of its own here, as for its users; all cases of a group run at once.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from deliveries import COLUMNS, HANDLERS, Declared, declare, transform
from stand_ins import Aws

from pipelines.firehose.deliver import ObjectWriter

NOWHERE = "http://127.0.0.1:9"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
INTERVAL = {"SizeInMBs": 64, "IntervalInSeconds": 1}


@dataclass(frozen=True)
class Case:
    """A delivery stream in an environment, what is spoiled before it runs, and what the user must read."""

    said: str
    fix: str
    spoil: Callable[[Declared], object] = lambda declared: None
    env: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    handler: str | None = None
    name: str | None = None


CASES = {
    "no such delivery stream": Case("nope", "check the name", name="nope"),
    "no credentials": Case("No AWS credentials", "aws configure", without=CREDENTIALS),
    "no region": Case("No AWS region", "export AWS_REGION", without=("AWS_REGION", "AWS_DEFAULT_REGION")),
    "Firehose down": Case(NOWHERE, "hydrant up", env={"AWS_ENDPOINT_URL": NOWHERE}),
    "Glue down": Case(NOWHERE, "hydrant up", env={"AWS_ENDPOINT_URL_GLUE": NOWHERE}),
    "Kinesis down": Case(NOWHERE, "hydrant up", env={"AWS_ENDPOINT_URL_KINESIS": NOWHERE}),
    "no such Kinesis stream": Case(
        "does not exist",
        "aws kinesis list-streams",
        lambda declared: declared.aws.kinesis.client.delete_stream(StreamName=declared.stream),
    ),
    "no such bucket": Case(
        "does not exist", "check the name", lambda declared: declared.aws.s3.delete_bucket(Bucket=declared.bucket)
    ),
    "no such table": Case(
        "does not exist",
        "create-table",
        lambda declared: declared.aws.glue.delete_table(DatabaseName=declared.table[0], Name=declared.table[1]),
    ),
    "no such handler file": Case("nofile.py", "write the handler there", handler="nofile.py:f"),
    "a handler that is no Python": Case("deliveries.toml", ".py file", handler="deliveries.toml:f"),
    "no such function": Case("has no function nope", "def nope", handler=f"{HANDLERS}:nope"),
}


def shown(case: Case, declared: Declared, folder: Any) -> tuple[int, str]:
    """Status and standard error of the command."""
    environment = {name: value for name, value in os.environ.items() if name not in case.without} | dict(case.env)
    command = [sys.executable, "-m", "pipelines.cli", "deliver", case.name or declared.name]
    if case.handler:
        command += ["--handler", case.handler]
    ended = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    return ended.returncode, ended.stderr


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[int, str]]:
    return {}


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_with_the_fix(aws: Aws, answers: dict[str, tuple[int, str]], tmp_path: Any, name: str) -> None:
    if not answers:
        (tmp_path / "deliveries.toml").write_text("[project]\n")
        streams = {}
        for each, case in CASES.items():
            with_function = {"ProcessingConfiguration": transform()} if case.handler else {}
            streams[each] = declare(aws, columns=COLUMNS, BufferingHints=INTERVAL, **with_function)
            streams[each].put([b'{"n": 1}\n'])
            case.spoil(streams[each])
        with ThreadPoolExecutor(3) as threads:
            ended = threads.map(lambda each: shown(CASES[each], streams[each], tmp_path), CASES)
            answers.update(zip(CASES, ended, strict=True))
    status, errors = answers[name]
    (sentence,) = [line for line in errors.splitlines() if line.startswith("hydrant: ")]
    assert status == 1
    assert "Traceback" not in errors
    assert CASES[name].said in sentence
    _, fix = re.split(r"[.!?] Fix: ", sentence)
    assert CASES[name].fix in fix


def test_a7_12_s3_that_stays_down_fails_the_pipeline_with_the_reason(aws: Aws, monkeypatch: Any) -> None:
    """The records are still in the Kinesis stream; the minute of retries passes on the clock of the test."""
    from deliveries import QuickClock

    from pipelines.firehose.chunk import Chunk, Sealed
    from pipelines.firehose.deliver import data_destination
    from pipelines.runtime.aws import client
    from pipelines.runtime.errors import EndpointDownError

    declared = declare(aws, columns=None)
    job = declared.job()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", NOWHERE)
    writer = ObjectWriter(data_destination(job.config, None), client("s3", max_attempts=1), QuickClock())
    (page,) = declared.pages([[[b"x"]]])
    with pytest.raises(EndpointDownError, match=declared.bucket):
        writer.write(Sealed("shardId-000000000000", (Chunk.of_page(page),), "end"))

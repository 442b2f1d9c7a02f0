"""PyPI's `amazon-kclpy`, as `hydrant bench source` runs it: AWS's MultiLangDaemon in Java, a Python process a shard.

`python -m pipelines.cli.benchmarks.source_kclpy ENDPOINT OUT KINESIS DYNAMODB`, as `source_readers`, in an environment
of its own; KINESIS is the replay in HTTP/2, DYNAMODB keeps the leases.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import amazon_kclpy  # type: ignore[import-not-found]
import psutil

from pipelines.cli.benchmarks.replay_stream import STREAM
from pipelines.cli.benchmarks.source_account import Account, ShardTally, finish
from pipelines.runtime.clock import SystemClock

_DAEMON: Final = "software.amazon.kinesis.multilang.MultiLangDaemon"
_GIVE_UP_S: Final = 600.0
_PROPERTIES: Final = """\
executableName = {python} -m pipelines.cli.benchmarks.source_kclpy_processor {folder} {account}
streamName = {stream}
applicationName = bench
AwsCredentialsProvider = DefaultCredentialsProvider
processingLanguage = python
initialPositionInStream = TRIM_HORIZON
regionName = us-east-1
kinesisEndpoint = {kinesis}
dynamoDBEndpoint = {dynamodb}
metricsLevel = NONE
retrievalMode = POLLING
maxRecords = 10000
idleTimeBetweenReadsInMillis = 0
shardSyncIntervalMillis = 500
"""
"""The last two are less than their defaults: no pause between reads, no minute until the shards are known."""


def run(described: dict[str, Any], kinesis: str, dynamodb: str, folder: Path) -> tuple[Account, float, float]:
    """Runs the daemon until every shard's processor has all its records.

    Returns:
        What they were given, when the last of it, and the CPU seconds of the daemon and the processors.
    """
    clock = SystemClock()
    account = folder / "expected"
    account.write_text(json.dumps(described["account"]), encoding="utf-8")
    properties = folder / "bench.properties"
    properties.write_text(
        _PROPERTIES.format(
            python=sys.executable, folder=folder, account=account, stream=STREAM, kinesis=kinesis, dynamodb=dynamodb
        ),
        encoding="utf-8",
    )
    jars = Path(amazon_kclpy.__file__).parent / "jars" / "*"
    # The replay speaks JSON, and so does every stand-in; the SDK for Java would speak CBOR.
    command = ["java", "-Daws.cborEnabled=false", "-cp", str(jars), _DAEMON, "--properties-file", str(properties)]
    log = folder / "log"
    give_up_s = clock.monotonic_s() + _GIVE_UP_S
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as daemon:
        try:
            while len(done := sorted(folder.glob("shardId-*.json"))) < len(described["ends"]):
                if daemon.poll() is not None or clock.monotonic_s() > give_up_s:
                    last = log.read_text(errors="replace").strip().splitlines()[-1:]
                    sys.exit(f"the MultiLangDaemon did not read everything: {last}")
                clock.sleep(0.1)
            spent = psutil.Process(daemon.pid).cpu_times()
        finally:
            daemon.kill()  # the processors end with their standard input
    told = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in done}
    tallies = {shard_id: ShardTally(**each["tally"]) for shard_id, each in told.items()}
    cpu_s = spent.user + spent.system + sum(each["cpu_s"] for each in told.values())
    return Account.of(tallies), max(each["last_s"] for each in told.values()), cpu_s


def main(endpoint: str, out: str, kinesis: str, dynamodb: str) -> None:
    """Runs it."""
    clock = SystemClock()
    started_s = clock.monotonic_s()
    with tempfile.TemporaryDirectory(prefix="hydrant-kclpy-") as folder:
        account, last_s, cpu_s = run(json.loads(endpoint), kinesis, dynamodb, Path(folder))
    finish(account, last_s - started_s, last_s, out, cpu_s)


if __name__ == "__main__":
    main(*sys.argv[1:])

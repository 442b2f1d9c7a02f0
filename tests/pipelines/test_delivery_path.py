"""The whole delivery stream on a runner: every record put is in one place, told by the objects on S3."""

import io
import json
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path, PurePath

import pyarrow.parquet as pq
import pytest
from deliveries import COLUMNS, NEVER_S, declare, fed, found, transform
from stand_ins import Aws, Run

from pipelines.cli.job import DeliveryJob
from pipelines.firehose.config import BufferingHints
from pipelines.kinesis import StopFile
from pipelines.runtime.launch import Snapshot

MIB = 1024 * 1024


def row(n: int, size: int | str = 0, padding: int = 0) -> bytes:
    return json.dumps({"n": n, "word": f"word {n}" + "." * padding, "size": size}).encode() + b"\n"


def test_a3_1_transform_then_conversion_with_errors_of_both_and_backup(aws: Aws, run: Run, tmp_path: Path) -> None:
    declared = declare(aws, shards=3, columns=COLUMNS, backup="GZIP", ProcessingConfiguration=transform())
    declared.put(row(n, size="huge" if n % 10 == 2 else n) for n in range(400))
    stop = StopFile(f"{tmp_path}/stop.json")
    stop.write({shard_id: None for shard_id, *_ in declared.placed.values()})
    run(declared.job("mixed").pipeline("TRIM_HORIZON", stop, ledger=tmp_path))
    result = found(declared, tmp_path)
    assert (result.account.delivered, result.account.dropped, result.account.failed) == (280, 40, 80)
    assert {each.key.split("/")[1] for each in result.errors} == {"processing-failed", "format-conversion-failed"}
    assert Counter(result.codes.values()) == {
        "Lambda.ProcessingFailedStatus": 40,
        "DataFormatConversion.MalformedData": 40,
    }
    words = [w for each in result.data for w in pq.read_table(io.BytesIO(each.body)).column("word").to_pylist()]
    assert sorted(words) == sorted(f"transformed word {n}" for n in range(400) if n % 10 > 2)
    assert {each.key.rpartition(".")[2] for each in result.backups} == {"gz"}
    partitions = aws.glue.get_partitions(DatabaseName=declared.table[0], TableName=declared.table[1])["Partitions"]
    assert {f"dt={p['Values'][0]}" for p in partitions} == {each.key.split("/")[1] for each in result.data}


def test_a3_1_kpl_aggregates_are_taken_apart_before_anything_else(aws: Aws, run: Run, tmp_path: Path) -> None:
    declared = declare(aws, columns=COLUMNS, backup="GZIP", ProcessingConfiguration=transform())
    declared.put_aggregated([row(n, size="huge" if n % 10 == 2 else n) for n in range(400)], 7)
    declared.put(row(n) for n in range(400, 410))
    stop = StopFile(f"{tmp_path}/stop.json")
    stop.write({shard_id: None for shard_id, *_ in declared.placed.values()})
    run(declared.job("mixed").pipeline("TRIM_HORIZON", stop, ledger=tmp_path))
    result = found(declared, tmp_path)
    assert (result.account.delivered, result.account.dropped, result.account.failed) == (288, 41, 81)
    words = [w for each in result.data for w in pq.read_table(io.BytesIO(each.body)).column("word").to_pylist()]
    assert len(words) == 288
    assert "transformed word 399" in words


PAGE_BYTES = 10 * len(row(100, padding=10_000))


@pytest.mark.parametrize("form", ["UNCOMPRESSED", "GZIP", "Parquet"])
def test_a2_2_size_before_compression_makes_a_buffer_due_and_the_end_delivers_the_rest(
    aws: Aws, run: Run, tmp_path: Path, form: str
) -> None:
    declared = declare(aws, columns=COLUMNS) if form == "Parquet" else declare(aws, CompressionFormat=form)
    pages = [[row(100 + page * 10 + n, padding=10_000) for n in range(10)] for page in range(31)]
    run(fed(one_mib(declared.job()), declared.pages([pages[:30], pages[30:]]), tmp_path))
    result = found(declared, tmp_path)
    by_reason = sorted((result.reasons[each.key], len(each.records)) for each in result.data)
    full = MIB // PAGE_BYTES * 10 + 10  # the page that crosses the hint still goes in
    assert by_reason == [("end", 10), ("end", 300 - 2 * full), ("size", full), ("size", full)]
    assert all(each.info.bytes < MIB / 10 for each in result.data) == (form != "UNCOMPRESSED")
    extension = {"UNCOMPRESSED": "", "GZIP": ".gz", "Parquet": ".parquet"}[form]
    assert {PurePath(each.key).suffix for each in result.data} == {extension}


def one_mib(job: DeliveryJob) -> DeliveryJob:
    """The job with a hint below what AWS takes for a conversion (A2.3), so that little data shows it."""
    destination = replace(job.config.destination, buffering=BufferingHints(1, NEVER_S))
    return replace(job, config=replace(job.config, destination=destination))


@pytest.mark.parametrize("columns", [None, COLUMNS], ids=["text", "Parquet"])
def test_a2_2_objects_appear_after_the_interval_while_the_producer_still_puts(
    aws: Aws, run: Run, tmp_path: Path, columns: dict[str, str] | None
) -> None:
    hints = {"SizeInMBs": 64, "IntervalInSeconds": 1}
    declared = declare(aws, shards=2, columns=columns, BufferingHints=hints, backup="UNCOMPRESSED")
    numbers = count(1)
    stop = StopFile(f"{tmp_path}/stop.json")
    seen_before_the_end: list[str] = []

    def produce(_: Snapshot) -> None:
        if stop.read() is None:
            declared.put(row(next(numbers)) for _ in range(20))
            seen_before_the_end[:] = aws.keys(declared.bucket, "data/")
            if len(seen_before_the_end) >= 4:
                stop.write({shard_id: None for shard_id, *_ in declared.placed.values()})

    run(declared.job().pipeline("TRIM_HORIZON", stop, ledger=tmp_path), on_tick=produce, deadline_s=30)
    result = found(declared, tmp_path)
    assert {result.reasons[key] for key in seen_before_the_end} == {"interval"}
    assert "end" in result.reasons.values()
    assert result.account.delivered == len(declared.placed)


def test_a7_11_text_is_concatenated_as_it_came_and_ends_at_the_end_of_input(aws: Aws, run: Run, tmp_path: Path) -> None:
    declared = declare(aws, ProcessingConfiguration=transform(), Prefix="data/", ErrorOutputPrefix="errors/")
    pages = declared.pages([[[row(n) for n in range(10)], [row(n) for n in range(10, 20)]]])
    run(fed(declared.job("mixed"), pages, tmp_path))
    result = found(declared, tmp_path)
    (whole,) = result.data
    assert result.reasons == {whole.key: "end"}
    assert sorted(json.loads(line)["n"] for line in whole.body.splitlines()) == [n for n in range(20) if n % 10 > 1]
    assert (len(result.dropped), set(result.codes.values())) == (2, {"Lambda.ProcessingFailedStatus"})

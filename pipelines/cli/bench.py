"""`hydrant bench NAME`: the benchmarks, everything in one run, with ratios."""

import json
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


class Benchmark(StrEnum):
    """The benchmarks there are."""

    CONVERT = "convert"
    FOREST = "forest"
    NAB = "nab"
    PATH = "path"
    SOURCE = "source"


def command(
    name: Annotated[
        Benchmark,
        typer.Argument(
            help="convert: JSON to Parquet. path: Kinesis to Parquet on S3. source: reading Kinesis. "
            "nab: anomalies by NAB's score. forest: the forest's speed and state."
        ),
    ],
    records: Annotated[int, typer.Option(min=1_000, help="How many flights.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    corpus: Annotated[Path | None, typer.Option(help="nab: another folder of the corpus' layout.")] = None,
) -> None:
    """Measure a part of the path beside its alternatives, on real flights, all in one run.

    Machines are noisy: the ratios are what to quote, the absolute figures only say of what size they were.

    source reads a stream whose endpoint answers at once with ReadFromKinesis on Prism, with a bare loop of boto3's
    get_records, with PyPI's async-kinesis and with amazon-kclpy (which needs Java); the last two are installed in
    environments of their own in the cache folder, and where one cannot be run the result says why. Then it measures
    the lag from put to element on LocalStack (which needs Docker) and on the embedded model, and what an idle stream
    of 64 shards costs. About ten minutes.

    nab scores the labelled series of the Numenta Anomaly Benchmark through the graph of the analytics room on Prism,
    and baselines on the same rows, by NAB's own score. forest measures a forest beside bare krcf on 1,000 series of
    100 trees and shingle size 8.
    """
    console = Console(stderr=True)
    if name is Benchmark.SOURCE:
        _source(records, console, as_json=as_json)
        return
    if name in (Benchmark.NAB, Benchmark.FOREST):
        _anomalies(name, corpus, console, as_json=as_json)
        return
    result = _convert(records, console) if name is Benchmark.CONVERT else _path(records, console)
    if as_json:
        json.dump(result, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    table = Table("", "records/s", "seconds", "CPU seconds", "peak MiB", title=f"{records:,} flights")
    for contestant, figures in result["contestants"].items():
        table.add_row(
            contestant,
            f"{figures['records_per_s']:,}",
            f"{figures['seconds']:.1f}",
            f"{figures['cpu_seconds']:.1f}",
            f"{figures['peak_mib']:,}",
        )
    Console().print(table)
    for ratio, value in result["ratios"].items():
        Console().print(f"{ratio}: {value:.2f}")


def _source(records: int, console: Console, *, as_json: bool) -> None:
    from pipelines.cli.benchmarks import source, source_report

    result = source.run(records, lambda what: console.print(what, highlight=False))
    if as_json:
        json.dump(result, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for part in source_report.tables(result):
        Console().print(part)


def _anomalies(name: Benchmark, corpus: Path | None, console: Console, *, as_json: bool) -> None:
    from pipelines.cli.benchmarks import forest, nab, nab_report

    def tell(what: str) -> None:
        console.print(what, highlight=False)

    result = nab.run(corpus, tell) if name is Benchmark.NAB else forest.run(tell)
    if as_json:
        json.dump(result, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for part in nab_report.tables(result) if name is Benchmark.NAB else forest.tables(result):
        Console().print(part)


def _convert(records: int, console: Console) -> dict[str, Any]:
    import pyarrow as pa

    from pipelines.cli.benchmarks.convert import LINES, PAGE_RECORDS, PAGES
    from pipelines.cli.benchmarks.flights import json_lines, pages
    from pipelines.cli.benchmarks.measure import measure
    from pipelines.kinesis.page import PAGE_SCHEMA

    with tempfile.TemporaryDirectory(prefix="hydrant-bench-") as folder:
        console.print(f"Writing {records:,} flights...")
        lines = json_lines(records)
        Path(folder, LINES).write_bytes(b"\n".join(lines) + b"\n")
        with pa.ipc.new_file(f"{folder}/{PAGES}", PAGE_SCHEMA) as writer:
            for page in pages(lines, PAGE_RECORDS):
                writer.write_batch(page)
        del lines
        measured = {}
        for contestant in ("pyarrow", "ours", "naive_beam"):
            console.print(f"Running {contestant}...")
            arguments = [contestant, folder, str(records)]
            measured[contestant] = measure(contestant, "pipelines.cli.benchmarks.convert", arguments)
    return _result(records, measured, {"to_pyarrow": "pyarrow", "to_naive_beam": "naive_beam"})


def _path(records: int, console: Console) -> dict[str, Any]:
    from pipelines.cli.benchmarks.measure import measure
    from pipelines.cli.benchmarks.path import fill
    from pipelines.cli.plugins import find_target

    with find_target("embedded").started(), tempfile.TemporaryDirectory(prefix="hydrant-bench-") as folder:
        console.print(f"Filling a stream with {records:,} flights...")
        ends = Path(folder, "ends.json")
        ends.write_text(json.dumps(fill(records)), encoding="utf-8")
        measured = {}
        for contestant in ("plain_loop", "ours"):
            console.print(f"Running {contestant}...")
            measured[contestant] = measure(contestant, "pipelines.cli.benchmarks.path", [contestant, str(ends)])
    return _result(records, measured, {"to_plain_loop": "plain_loop"})


def _result(records: int, measured: dict[str, Any], ratios: dict[str, str]) -> dict[str, Any]:
    """The figures, and how fast ours is beside each of `ratios`; every contestant must have written every record."""
    from pipelines.runtime.errors import AccountError

    for contestant, figures in measured.items():
        if figures.records != records:
            message = f"{contestant} wrote {figures.records:,} of {records:,} records; its speed means nothing."
            raise AccountError(message)
    ours = measured["ours"]
    found = {name: measured[other].seconds / ours.seconds for name, other in ratios.items()}
    if "to_plain_loop" in ratios:  # a loop of a few lines imports less than a pipeline
        found["to_plain_loop_with_imports"] = measured["plain_loop"].whole_seconds / ours.whole_seconds
    return {
        "records": records,
        "contestants": {contestant: figures.to_json() for contestant, figures in measured.items()},
        "ratios": found,
    }

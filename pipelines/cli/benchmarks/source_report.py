"""The result of `hydrant bench source` as tables for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table


def tables(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What a person is shown of `source.run`'s result."""
    yield _contestants(
        f"{result['records']:,} flights of {result['record_bytes']:.0f} bytes, {result['shape']}", result["contestants"]
    )
    yield from _ratios(result["ratios"])
    for shape, found in result["shapes"].items():
        yield _contestants(f"The same, {shape}", {name: each for name, each in found.items() if name != "ratios"})
        yield from _ratios(found["ratios"])
    yield _lag(result["lag"])
    idle = result["idle"]
    yield (
        f"Idle stream of {idle['shards']} shards for {idle['seconds']:.0f} s: {idle['reader_percent']:.1f} % of a core "
        f"for the reader, {idle['prism_percent']:.1f} % for Prism"
    )


def _contestants(title: str, contestants: Mapping[str, Any]) -> Table:
    table = Table("", "records/s", "reading s", "with start s", "CPU s", "peak MiB", "calls", title=title)
    for name, figures in contestants.items():
        if "not_run" in figures:
            table.add_row(name, f"not run: {figures['not_run']}")
        else:
            table.add_row(
                name,
                f"{figures['reading_records_per_s']:,}",
                f"{figures['reading_seconds']:.1f}",
                f"{figures['seconds']:.1f}",
                f"{figures['cpu_seconds']:.1f}",
                f"{figures['peak_mib']:,}",
                f"{figures['get_records_calls']:,}",
            )
    return table


def _ratios(ratios: Mapping[str, float]) -> Iterator[str]:
    for name, value in ratios.items():
        yield f"{name}: {value:.2f}"


def _lag(lag: Mapping[str, Any]) -> Table:
    table = Table("Lag from put to element", "records/s", "p50 ms", "p99 ms", "max ms")
    for where, found in lag.items():
        if "not_run" in found:
            table.add_row(where, f"not run: {found['not_run']}")
            continue
        for place, name in (("fused", "the DoFn behind the source"), ("reshuffled", "behind a Reshuffle")):
            figures = [str(found[place][each]) for each in ("p50_ms", "p99_ms", "max_ms")]
            table.add_row(f"{where}, {name}", str(found["records_per_s"]), *figures)
    return table

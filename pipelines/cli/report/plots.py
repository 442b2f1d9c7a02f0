"""The charts of a run: records, throughput and lag over time, and the sawtooth of the buffers."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from itertools import accumulate
from typing import Any, Final

from pipelines.cli.report.charts import Chart, Point, count, mark, seconds, size
from pipelines.cli.report.data import ERRORS, Picture, StreamPicture, ended
from pipelines.firehose.chunk import DeliveredObject

_BINS: Final = 40
_SHAPES: Final = {"size": "up", "interval": "dot", "end": "box"}
_REASONS: Final = {"size": "flushed by size", "interval": "by interval", "end": "at the end of input"}
_NAMES: Final = {"data": "Data", "failed": "Error", "backup": "Backup"}


def over_time(picture: Picture) -> str:
    """Three charts on one time axis; nothing when nothing was put."""
    if not picture.put:
        return ""
    x = _span(picture)
    ends = [(picture.at(ms), number) for stream in picture.streams for ms, number in ended(stream)]
    put = [(at, number) for at, number, _ in picture.put]
    parts = ["<h2>Over time</h2>", '<div class="grid">']
    parts += [_records(picture, x, put), _throughput(x, put, ends), _lag(picture, x), "</div>"]
    return "\n".join(parts)


def buffers(picture: Picture) -> str:
    """For each delivery stream and each kind of buffer its fill over time."""
    parts = ["<h2>Buffers</h2>"]
    parts.append(
        '<p class="soft">Each line is the buffer of one shard, from its first record to the flush, drawn straight '
        "between the two. Bytes are those of the records before conversion and compression, as hints count them.</p>"
    )
    keys = {_REASONS[reason]: mark(11, 6, shape, "backup", _REASONS[reason]) for reason, shape in _SHAPES.items()}
    marks = "".join(f'<span><svg viewBox="0 0 22 12">{drawn}</svg>{said}</span>' for said, drawn in keys.items())
    parts.append(f'<div class="legend">{marks}</div>')
    drawn = False
    for stream in picture.streams:
        figures = [
            _buffer(picture, stream, name, objects)
            for name, kinds in (("data", ("data",)), ("failed", ERRORS), ("backup", ("backup",)))
            if (objects := stream.of(*kinds))
        ]
        if figures:
            drawn = True
            title = f"<h3>{escape(stream.name)}</h3>" if len(picture.streams) > 1 else ""
            parts.append(f'{title}<div class="grid">{"".join(figures)}</div>')
    return "\n".join(parts) if drawn else ""


def _span(picture: Picture) -> tuple[float, float]:
    """From the first record put to the last flush."""
    moments = [at for at, _, _ in picture.put]
    moments += [picture.at(written.flushed_ms) for stream in picture.streams for written in stream.objects]
    begin, end = min(moments), max(moments)
    margin = max(0.1, (end - begin) * 0.03)
    return max(0.0, begin - margin), end + margin


def _records(picture: Picture, x: tuple[float, float], put: Sequence[tuple[float, int]]) -> str:
    many = len(picture.streams)
    lines: list[tuple[str, str, list[Point]]] = [("put", "backup", _cumulative(put, x))]
    for stream in picture.streams:
        name = "delivered, dropped or failed" if many == 1 else f"ended in {stream.name}"
        points = _cumulative([(picture.at(ms), number) for ms, number in ended(stream)], x)
        lines.append((name, "data" if len(lines) == 1 else "data second", points))
    chart = Chart("Records over time", x, max(stream.account.put for stream in picture.streams), "records", count)
    for _, css, points in lines:
        chart.line(points, css)
    return _figure("Records, added up", chart, [(name, css) for name, css, _ in lines])


def _cumulative(found: Sequence[tuple[float, int]], x: tuple[float, float]) -> list[Point]:
    """Steps: a count stays until the next is known."""
    points: list[Point] = [(x[0], 0)]
    for (at, _), total in zip(found, accumulate(number for _, number in found), strict=True):
        points += [(at, points[-1][1]), (at, total)]
    return [*points, (x[1], points[-1][1])]


def _throughput(x: tuple[float, float], put: Sequence[tuple[float, int]], ends: Sequence[tuple[float, int]]) -> str:
    wide = max(0.25, (x[1] - x[0]) / _BINS)
    series = [("put", "backup", _rates(put, x, wide)), ("delivered, dropped or failed", "data", _rates(ends, x, wide))]
    top = max((y for _, _, points in series for _, y in points), default=1)
    chart = Chart("Throughput over time", x, top, "records/s", count)
    for _, css, points in series:
        if css == "data":
            chart.area(points, css)
        chart.line(points, css)
    legend = [(name, css) for name, css, _ in series]
    return _figure(f"Throughput, in steps of {wide:.2g} s", chart, legend)


def _rates(found: Sequence[tuple[float, int]], x: tuple[float, float], wide: float) -> list[Point]:
    bins: dict[int, int] = defaultdict(int)
    for at, number in found:
        bins[int((at - x[0]) / wide)] += number
    points: list[Point] = []
    for number in range(int((x[1] - x[0]) / wide) + 1):
        begin = x[0] + number * wide
        rate = bins[number] / wide
        points += [(begin, rate), (min(begin + wide, x[1]), rate)]
    return points


def _lag(picture: Picture, x: tuple[float, float]) -> str:
    lags = [
        (sample["seconds"], sample["stages"]["source"]["watermark_lag_ms"] / 1000)
        for sample in picture.samples
        if sample["stages"].get("source", {}).get("watermark_lag_ms") is not None and x[0] <= sample["seconds"] <= x[1]
    ]
    ages = [
        (picture.at(written.flushed_ms), (written.flushed_ms - written.oldest_arrival_ms) / 1000, written)
        for stream in picture.streams
        for written in stream.of("data")
    ]
    top = max([y for _, y in lags] + [y for _, y, _ in ages] + [0.1])
    chart = Chart("Lag over time", x, top, "seconds", seconds)
    chart.line(lags, "good")
    for at, age, written in ages:
        chart.mark(at, age, "dot", "data", f"{written.key.rpartition('/')[2]}\nits oldest record was {age:.2f} s old")
    legend = [("watermark lag", "good"), ("oldest record of an object", "data dot")]
    return _figure("Lag", chart, legend)


def _buffer(picture: Picture, stream: StreamPicture, kind: str, objects: Sequence[DeliveredObject]) -> str:
    destination = stream.config["destination"]
    hints = (destination["backup"] if kind == "backup" else destination)["buffering"]
    fullest = max(written.raw_bytes for written in objects)
    unit, step = next(
        ((unit, step) for unit, step in (("MiB", 1024**2), ("KiB", 1024)) if fullest >= step), ("bytes", 1)
    )
    hint = hints["size_mib"] * 1024**2
    top = max(fullest, hint) if hint <= 4 * fullest else fullest
    chart = Chart(f"{_NAMES[kind]} buffer over time", _span(picture), top * 1.08 / step, unit, seconds)
    by_key: dict[Any, list[DeliveredObject]] = defaultdict(list)
    for written in sorted(objects, key=lambda each: each.opened_ms):
        by_key[written.kind, tuple(shard.shard_id for shard in written.shards)].append(written)
    for found in by_key.values():
        for written in found:
            begin, end = picture.at(written.opened_ms), picture.at(written.flushed_ms)
            points = [(begin, 0.0), (end, written.raw_bytes / step), (end, 0.0)]
            chart.area(points, kind)
            chart.line(points, f"{kind} thin")
    if hint <= 4 * fullest:
        chart.across(hint / step, f"size hint {hints['size_mib']} MiB")
    for written in objects:
        waited = (written.flushed_ms - written.opened_ms) / 1000
        tip = (
            f"{', '.join(shard.shard_id for shard in written.shards)}\n{written.records:,} records, "
            f"{size(written.raw_bytes)}\n{_REASONS[written.reason]} after {waited:.2f} s"
        )
        chart.mark(picture.at(written.flushed_ms), written.raw_bytes / step, _SHAPES[written.reason], kind, tip)
    said = f"{len(objects):,} flushes; hints {hints['size_mib']} MiB and {hints['interval_s']} s"
    return f"<figure><b>{_NAMES[kind]} buffer</b>{chart.svg()}<figcaption>{said}</figcaption></figure>"


def _figure(title: str, chart: Chart, legend: Sequence[tuple[str, str]]) -> str:
    keys = "".join(f"<span>{_key(css)}{escape(name)}</span>" for name, css in legend)
    return f'<figure><b>{escape(title)}</b><div class="legend">{keys}</div>{chart.svg()}</figure>'


def _key(css: str) -> str:
    if css.endswith("dot"):
        return f'<svg viewBox="0 0 22 12"><g class="mark {css}"><circle cx="11" cy="6" r="4"/></g></svg>'
    return f'<svg viewBox="0 0 22 12"><path class="line {css}" d="M1 6H21"/></svg>'

"""The path of one delivery stream as a picture: its stages with what went through them, bands as wide as the flow."""

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from pipelines.cli.report.charts import size
from pipelines.cli.report.data import ERRORS, Picture, StreamPicture

_BOX: Final = (132, 62)
_GAP: Final = 34
_ROW: Final = 96
_WIDEST: Final = 22.0
_THINNEST: Final = 1.5
_ROOM: Final = 10.6  # of a line, in units of its font's size
_NARROW: Final = "fijlrt.,:;|!'/ "
_WIDE: Final = "mwMW@%"


@dataclass(frozen=True)
class _Box:
    column: int
    row: int
    title: str
    lines: tuple[str, str]
    css: str = ""

    @property
    def x(self) -> float:
        return 2 + self.column * (_BOX[0] + _GAP)

    @property
    def y(self) -> float:
        return 2 + self.row * _ROW

    def svg(self) -> str:
        x, y, middle = self.x, self.y, self.x + _BOX[0] / 2
        texts = [
            f'<text class="{name}" x="{middle}" y="{y + below}" text-anchor="middle">{escape(_fit(line))}</text>'
            for name, below, line in zip(
                ("name", "small", "small"), (21, 38, 53), (self.title, *self.lines), strict=True
            )
        ]
        tip = escape("\n".join([self.title, *self.lines]))
        shape = f'<rect x="{x}" y="{y}" width="{_BOX[0]}" height="{_BOX[1]}" rx="6"/>'
        return f'<g class="box {self.css}" data-tip="{tip}">{shape}{"".join(texts)}</g>'


def path_svg(picture: Picture, stream: StreamPicture) -> str:
    """The picture of one delivery stream."""
    account, destination = stream.account, stream.config["destination"]
    data, errors, backup = stream.of("data"), stream.of(*ERRORS), stream.of("backup")
    rows = 1 if destination["backup"] else 0
    put_bytes = sum(number for _, _, number in picture.put)
    source = (stream.config.get("source") or {}).get("stream_name", picture.stream)
    shards = f"{size(put_bytes)}, {_count(picture.shards, 'shard')}" if source == picture.stream else source
    main = [_Box(0, rows, "Kinesis", (_count(account.put, "record"), shards))]
    if destination["lambda_processor"]:
        ok = f"{sum(called.ok for called in stream.invocations):,} Ok"
        main.append(_Box(len(main), rows, "Lambda", (_count(len(stream.invocations), "invocation"), ok)))
    if destination["conversion"]:
        main.append(_Box(len(main), rows, "Conversion", ("JSON to Parquet", f"{account.delivered:,} Ok")))
    hints = destination["buffering"]
    main.append(_Box(len(main), rows, "Buffer", (_hints(hints), f"flushed {len(data):,} times")))
    written = sum(each.bytes for each in data)
    main.append(_Box(len(main), rows, "S3", (_count(len(data), "object"), size(written)), "data"))
    if stream.table:
        partitions = len({each.key.rpartition("/")[0] for each in data})
        main.append(_Box(len(main), rows, "Glue", (stream.table, _count(partitions, "partition"))))
    by = {box.title: box for box in main}
    boxes, bands = (
        list(main),
        [_band(a, b, _flow(picture, stream, b), "data") for a, b in pairwise(main)],
    )
    s3 = by["S3"].column
    if destination["backup"]:
        buffer = _Box(
            1, 0, "Backup buffer", (_hints(destination["backup"]["buffering"]), f"flushed {len(backup):,} times")
        )
        ends = _Box(
            s3, 0, "S3 backup", (_count(len(backup), "object"), size(sum(each.bytes for each in backup))), "backup"
        )
        saved = sum(each.records for each in backup)
        boxes += [buffer, ends]
        bands += [
            _band(main[0], buffer, saved / (account.put or 1), "backup"),
            _band(buffer, ends, saved / (account.put or 1), "backup"),
        ]
    below = rows + 1
    if "Lambda" in by:
        dropped = _Box(
            by["Lambda"].column, below, "Dropped", (_count(account.dropped, "record"), "by the function"), "dropped"
        )
        boxes.append(dropped)
        bands.append(_band(by["Lambda"], dropped, account.dropped / (account.put or 1), "dropped"))
    if "Lambda" in by or "Conversion" in by:
        failed = _Box(
            s3, below, "S3 errors", (_count(account.failed, "record"), _count(len(errors), "object")), "failed"
        )
        boxes.append(failed)
        for kind, stage in zip(ERRORS, ("Lambda", "Conversion"), strict=True):
            records = sum(each.records for each in stream.of(kind))
            if records and stage in by:
                bands.append(_band(by[stage], failed, records / (account.put or 1), "failed"))
    columns, lines = max(box.column for box in boxes) + 1, max(box.row for box in boxes) + 1
    width, height = 4 + columns * (_BOX[0] + _GAP) - _GAP, 4 + (lines - 1) * _ROW + _BOX[1]
    drawn = "".join([*bands, *(box.svg() for box in boxes)])
    name = escape(f"The path of delivery stream {stream.name}")
    box = f'viewBox="0 0 {width} {height}" style="max-width:{width}px"'
    return f'<svg class="path" {box} role="img" aria-label="{name}">{drawn}</svg>'


def _flow(picture: Picture, stream: StreamPicture, to: _Box) -> float:
    """The part of the records that flows into a stage of the main line."""
    account = stream.account
    into = {
        "Lambda": account.put,
        "Conversion": account.put - account.dropped - sum(each.records for each in stream.of(ERRORS[0])),
    }.get(to.title, account.delivered)
    return into / (account.put or 1)


def _band(begin: _Box, end: _Box, part: float, css: str) -> str:
    """A band from one box to another, as wide as the part of all records that it carries."""
    if part <= 0:
        return ""
    wide = max(_THINNEST, _WIDEST * min(part, 1))
    x1, y1, x2, y2 = begin.x + _BOX[0], begin.y + _BOX[1] / 2, end.x, end.y + _BOX[1] / 2
    if begin.column == end.column:
        x1 = x2 = begin.x + _BOX[0] / 2
        path = f"M{x1} {begin.y + _BOX[1]}V{end.y}"
    elif begin.row == end.row:
        path = f"M{x1} {y1}H{x2}"
    elif end.row < begin.row:
        middle = (x1 + x2) / 2
        path = f"M{x1 - _GAP} {y1 - 18}C{middle} {y1 - 18} {x1 - _GAP} {y2} {x2} {y2}"
    else:  # down, along a lane between the rows, and down again
        lane = begin.y + (_ROW + _BOX[1]) / 2
        x1, x2 = begin.x + _BOX[0] * 0.75, end.x + _BOX[0] / 2
        path = f"M{x1} {begin.y + _BOX[1]}V{lane - 6}q0 6 6 6H{x2 - 6}q6 0 6 6V{end.y}"
    return f'<path class="band {css}" stroke-width="{wide:.1f}" d="{path}"/>'


def _hints(hints: dict[str, int]) -> str:
    return f"{hints['size_mib']} MiB or {hints['interval_s']} s"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _fit(text: str) -> str:
    """As much of the text as a box has room for."""
    room = _ROOM
    for place, letter in enumerate(text):
        room -= 0.4 if letter in _NARROW else 1.0 if letter in _WIDE else 0.62
        if room < 0:
            return text[: place - 1] + "…"
    return text

"""The page as HTML: everything in one file, nothing from the network, and whatever came from records is escaped."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import Any, Final

from pipelines.cli.report import plots
from pipelines.cli.report.charts import size
from pipelines.cli.report.data import ERRORS, Picture, StreamPicture
from pipelines.cli.report.findings import found
from pipelines.cli.report.path import path_svg
from pipelines.firehose.errors import FORMAT_CONVERSION_FAILED

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_MOST_DATA: Final = 400
_MOST_FOLDERS: Final = 40


def page(picture: Picture) -> str:
    """The whole of `report.html`."""
    title = escape(f"{picture.scenario}: {'it adds up' if picture.passed else 'it does not add up'}")
    here = files("pipelines.cli.report")
    style, script = (here.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "hover.js"))
    body = "\n".join(
        part
        for part in (
            _head(picture),
            found(picture.findings),
            _paths(picture),
            plots.over_time(picture),
            *_streams(picture),
            _verdict(picture),
        )
        if part
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
<body>
{body}
<div id="tip"></div>
<script>
{script}</script>
</body>
</html>
"""


def _head(picture: Picture) -> str:
    at = datetime.fromtimestamp(picture.began_ms / 1000, UTC)
    verdict = ("good", "✓ It adds up") if picture.passed else ("bad", "✗ It does not add up")
    first = f", the first object after {picture.first_object_s:.1f} s" if picture.first_object_s is not None else ""
    parts = [
        f'<div class="head"><h1>{escape(picture.scenario)}</h1>',
        f'<span class="verdict {verdict[0]}">{verdict[1]}</span></div>',
        f'<p class="soft">{at:%Y-%m-%d %H:%M:%S} UTC, target {escape(picture.target)}, seed {picture.seed}; '
        f"{picture.seconds:.1f} s{first}</p>",
    ]
    for stream in picture.streams:
        account = stream.account
        if len(picture.streams) > 1:
            parts.append(f"<h3>{escape(stream.name)}</h3>")
        counts = [
            ("Put", account.put, ""), ("Delivered", account.delivered, ""), ("Dropped", account.dropped, ""),
            ("Failed", account.failed, ""), ("Late", account.late, ""), ("Buffered", account.buffered, ""),
            ("Lost", len(account.lost), "bad"), ("Doubled", len(account.doubled), "bad"),
        ]  # fmt: skip
        cells = "".join(
            f'<div><dt>{name}</dt><dd class="{css if number else ""}">{number:,}</dd></div>'
            for name, number, css in counts
        )
        parts.append(f'<dl class="counts">{cells}</dl>')
    parts += [f'<p class="bad">{escape(problem)}</p>' for problem in picture.problems]
    return "\n".join(parts)


def _paths(picture: Picture) -> str:
    parts = ["<h2>The path</h2>", '<p class="soft">Bands are as wide as their part of the records that were put.</p>']
    for stream in picture.streams:
        name = f"<b>Delivery stream {escape(stream.name)}</b>" if len(picture.streams) > 1 else ""
        parts.append(f"<figure>{name}{path_svg(picture, stream)}</figure>")
    return "\n".join(parts)


def _streams(picture: Picture) -> Iterator[str]:
    yield plots.buffers(picture)
    yield "<h2>Objects by partition</h2>"
    for stream in picture.streams:
        yield _named(picture, stream) + _objects(stream)
    yield "<h2>Failures</h2>"
    for stream in picture.streams:
        yield _named(picture, stream) + _failures(stream)


def _named(picture: Picture, stream: StreamPicture) -> str:
    return f"<h3>{escape(stream.name)}</h3>" if len(picture.streams) > 1 else ""


def _objects(stream: StreamPicture) -> str:
    if not stream.objects:
        return "<p>No object was written.</p>"
    folders: dict[str, list[Any]] = defaultdict(list)
    for written in stream.objects:
        folders[f"s3://{written.bucket}/{written.key.rpartition('/')[0]}/"].append(written)
    largest = max(sum(written.bytes for written in objects) for objects in folders.values())
    rows = []
    for folder, objects in sorted(folders.items())[:_MOST_FOLDERS]:
        held = sum(written.bytes for written in objects)
        kind = objects[0].kind
        css = "failed" if kind in ERRORS else kind
        why = ", ".join(
            f"{reason} {times:,}" for reason, times in sorted(Counter(each.reason for each in objects).items())
        )
        rows.append(
            f'<tr><td>{escape(folder)}</td><td class="n">{len(objects):,}</td>'
            f'<td class="n">{sum(written.records for written in objects):,}</td><td class="n">{size(held)}</td>'
            f'<td class="bar"><i class="{css}" style="width:{100 * held / (largest or 1):.1f}%"></i></td>'
            f"<td>{why}</td></tr>"
        )
    if len(folders) > _MOST_FOLDERS:
        rows.append(f'<tr><td colspan="6">and {len(folders) - _MOST_FOLDERS:,} more</td></tr>')
    numbers = "".join(f'<th class="n">{name}</th>' for name in ("Objects", "Records", "Bytes"))
    head = f"<th>Folder</th>{numbers}<th></th><th>Flushed by</th>"
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _failures(stream: StreamPicture) -> str:
    if stream.note:
        return f"<p>The error objects could not be read: {escape(stream.note)}</p>"
    if not stream.failures:
        return "<p>No record failed.</p>"
    rows = []
    for failure in stream.failures:
        code = failure.get("errorCode") or failure.get("lastErrorCode") or ""
        message = failure.get("errorMessage") or failure.get("lastErrorMessage") or ""
        raw = shown_data(failure["rawData"])
        rows.append(
            f'<tr><td>{escape(str(code))}<br><span class="soft">{escape(str(message))}</span></td>'
            f'<td class="n">{failure["attemptsMade"]}</td><td><code>{escape(raw)}</code></td></tr>'
        )
    codes = ", ".join(f"{code} {number:,}" for code, number in _codes(stream).most_common())
    first = len(stream.failures)
    shown = f"; {first} of {stream.account.failed:,} are shown" if first < stream.account.failed else ""
    head = '<th style="width:32%">Code and message</th><th class="n">Attempts</th><th>Raw data, decoded</th>'
    return f'<p class="soft">{escape(codes)}{shown}.</p><table><tr>{head}</tr>{"".join(rows)}</table>'


def _codes(stream: StreamPicture) -> Counter[str]:
    """How many records failed with which code, as far as the ledger says; conversions it counts without their codes."""
    found: Counter[str] = Counter()
    for called in stream.invocations:
        found.update({code: len(rows) for code, rows in called.failed.items()})
    converted = sum(written.records for written in stream.of(FORMAT_CONVERSION_FAILED))
    return found + Counter({"format conversion": converted})


def _verdict(picture: Picture) -> str:
    return f"<h2>What came out, beside what was expected</h2>\n<pre>{escape(picture.verdict)}</pre>"


def shown_data(data: bytes) -> str:
    """The bytes of a record as a person reads them: what is no text, or would not be seen, is escaped."""
    if not data:
        return "(empty)"
    text = data[:_MOST_DATA].decode("utf-8", "backslashreplace")
    visible = "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )
    more = len(data) - _MOST_DATA
    return visible.rstrip("\n") + (f"… {more:,} bytes more" if more > 0 else "")

"""The plots of what an analytics application found: a panel a series, value above score; and maps of points."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final

from pipelines.analytics.findings import Findings, PointMap, ScoredSeries
from pipelines.cli.report.charts import Chart, Point, mark

_MOST_POINTS: Final = 6_000
_DAY_S: Final = 86_400


def found(findings: Findings | None) -> str:
    """The part of the page that shows `findings`; nothing for None."""
    if findings is None:
        return ""
    panels = [_series(panel) if isinstance(panel, ScoredSeries) else _points(panel) for panel in findings.panels]
    legend = _legend() if any(isinstance(panel, ScoredSeries) for panel in findings.panels) else ""
    return (
        f'<h2>{escape(findings.title)}</h2>\n<p class="soft">{escape(findings.text)}</p>\n'
        f'{legend}<div class="grid findings">{"".join(panels)}</div>'
    )


def _legend() -> str:
    label = '<svg viewBox="0 0 22 12"><rect class="span dropped" width="22" height="12"/></svg>'
    lines = [("data", "value"), ("backup", "score"), ("backup thin second", "threshold")]
    keys = [(f'<svg viewBox="0 0 22 12"><path class="line {css}" d="M0 6H22"/></svg>', said) for css, said in lines]
    marks = [("up", "good", "detected, in a labelled window"), ("dot", "failed", "detected elsewhere")]
    keys += [(f'<svg viewBox="0 0 22 12">{mark(11, 6, shape, css, said)}</svg>', said) for shape, css, said in marks]
    keys.append((label, "labelled window"))
    return f'<div class="legend">{"".join(f"<span>{drawn}{escape(said)}</span>" for drawn, said in keys)}</div>'


def _series(panel: ScoredSeries) -> str:
    if not panel.windows:
        return f"<figure><b>{escape(panel.name)}</b><p>Nothing came.</p></figure>"
    x = (panel.windows[0].at_ms / 1000, panel.windows[-1].at_ms / 1000)
    values = [(window.at_ms / 1000, window.value) for window in panel.windows]
    scores = [(window.at_ms / 1000, window.score) for window in panel.windows if window.score]
    thresholds = [(window.at_ms / 1000, window.threshold) for window in panel.windows if window.threshold]
    value_of = dict(values)
    upper = _chart(panel, f"{panel.name}: value", x, values, "value", 168)
    lower = _chart(panel, f"{panel.name}: anomaly score", x, scores, "score", 128)
    upper.line(values, "data thin")
    lower.line(thresholds, "backup thin second")
    lower.line(scores, "backup thin")
    score_of = dict(scores)
    for detection in panel.detections:
        at_s = detection.at_ms / 1000
        shape, css = ("up", "good") if detection.labelled else ("dot", "failed")
        lasts = timedelta(milliseconds=detection.until_ms - detection.at_ms)
        tip = f"{_moment(at_s, '%d %b %H:%M')}: {detection.text}\nlasts {_lasting(lasts)}"
        upper.mark(at_s, value_of.get(at_s, 0.0), shape, css, tip)
        lower.mark(at_s, score_of.get(at_s, 0.0), shape, css, tip)
    hits = sum(detection.labelled for detection in panel.detections)
    said = f"{len(panel.labels)} labelled, {hits} detected in them, {len(panel.detections) - hits} elsewhere"
    return f"<figure><b>{escape(panel.name)}</b>{upper.svg()}{lower.svg()}<figcaption>{said}</figcaption></figure>"


def _chart(
    panel: ScoredSeries, title: str, x: tuple[float, float], points: Sequence[Point], unit: str, height: int
) -> Chart:
    top = max((y for _, y in points), default=1.0)
    chart = Chart(title, x, top, unit, _number, height, along="", moments=_days(x))
    for begin_ms, end_ms in panel.labels:
        tip = f"labelled: {_moment(begin_ms / 1000, '%d %b %H:%M')} to {_moment(end_ms / 1000, '%d %b %H:%M')}"
        chart.span(begin_ms / 1000, end_ms / 1000, "dropped", tip)
    return chart


def _days(x: tuple[float, float]) -> list[tuple[float, str]]:
    """At most about seven midnights of the axis."""
    first = -(-x[0] // _DAY_S)
    count = int(x[1] // _DAY_S - first) + 1
    step = max(1, -(-count // 7))
    return [((first + day) * _DAY_S, _moment((first + day) * _DAY_S, "%d %b")) for day in range(0, count, step)]


def _moment(seconds: float, form: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def _lasting(lasts: timedelta) -> str:
    hours = lasts.total_seconds() / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def _number(value: float) -> str:
    for unit, step in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= step:
            return f"{value / step:g}{unit}"
    return f"{value:g}"


_SIDE: Final = 460
_MARGIN: Final = 44


def _points(panel: PointMap) -> str:
    """A map: every point a dot, every hotspot a frame whose density its tip tells."""
    xs, ys = [x for x, _ in panel.points], [y for _, y in panel.points]
    if not xs:
        return f"<figure><b>{escape(panel.name)}</b><p>Nothing came.</p></figure>"
    (left, right), (low, high) = (min(xs), max(xs)), (min(ys), max(ys))
    scale = (_SIDE - 2 * _MARGIN) / max(right - left, high - low, 1e-12)
    tall = max(2 * _MARGIN + 100, round((high - low) * scale + 2 * _MARGIN))

    def px(x: float) -> float:
        return _MARGIN + (x - left) * scale

    def py(y: float) -> float:
        return tall - _MARGIN - (y - low) * scale

    every = -(-len(panel.points) // _MOST_POINTS)
    dots = "".join(f"M{px(x):.1f} {py(y):.1f}h0" for x, y in panel.points[::every])
    parts = [f'<path class="dots data" d="{dots}"/>']
    for box in panel.boxes:
        (x0, y0), (x1, y1) = box.low, box.high
        tip = f"density {box.density:,.0f}\n{x0:.4f} to {x1:.4f}\n{y0:.4f} to {y1:.4f}"
        width, height = max(3.0, px(x1) - px(x0)), max(3.0, py(y0) - py(y1))
        parts.append(
            f'<rect class="frame failed" x="{px(x0):.1f}" y="{py(y1):.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'data-tip="{escape(tip)}"/>'
        )
    along, up = panel.axes
    parts.append(f'<text class="small" x="{_SIDE / 2}" y="{tall - 8}" text-anchor="middle">{escape(along)} ')
    parts.append(f"{left:.3f} to {right:.3f}</text>")
    parts.append(f'<text class="small" transform="translate(12 {tall / 2}) rotate(-90)" text-anchor="middle">')
    parts.append(f"{escape(up)} {low:.3f} to {high:.3f}</text>")
    hotspots = "1 hotspot" if len(panel.boxes) == 1 else f"{len(panel.boxes)} hotspots"
    shown = f", every {every}th is drawn" if every > 1 else ""
    return (
        f"<figure><b>{escape(panel.name)}</b>"
        f'<svg viewBox="0 0 {_SIDE} {tall}" role="img" aria-label="{escape(panel.name)}">{"".join(parts)}</svg>'
        f"<figcaption>{len(panel.points):,} points{shown}, {hotspots}</figcaption></figure>"
    )

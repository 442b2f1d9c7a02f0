"""The charts of the page as inline SVG: axes with units, lines, steps, the sawtooth of the buffers. Pure.

Colours and fonts are classes of the page's style, so that a chart is right on light and on dark; nothing is told by
colour alone. What has a `data-tip` says more when the pointer is on it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

WIDTH: Final = 360
_TOP: Final = 14
_RIGHT: Final = 12
_BOTTOM: Final = 38
_LEFT: Final = 56

Point = tuple[float, float]


@dataclass
class Chart:
    """An SVG of one pair of axes, drawn into from back to front.

    Attributes:
        title: for those who cannot see it.
        x: the ends of the horizontal axis, in seconds.
        top: the upper end of the vertical axis; its lower end is 0.
        unit: of the vertical axis.
        number: how a value of it is written.
        height: of the SVG.
        along: what the horizontal axis is.
        moments: places on it and what they are called; None for round numbers.
    """

    title: str
    x: tuple[float, float]
    top: float
    unit: str
    number: Callable[[float], str]
    height: int = 208
    parts: list[str] = field(default_factory=list)
    along: str = "seconds since the run began"
    moments: Sequence[tuple[float, str]] | None = None

    def __post_init__(self) -> None:
        self.steps = ticks(0, self.top)
        self.top = max(self.top, self.steps[-1]) or 1

    def px(self, x: float) -> float:
        begin, end = self.x
        return _LEFT + (x - begin) / ((end - begin) or 1) * (WIDTH - _LEFT - _RIGHT)

    def py(self, y: float) -> float:
        return self.height - _BOTTOM - min(y, self.top) / self.top * (self.height - _TOP - _BOTTOM)

    def line(self, points: Sequence[Point], css: str) -> None:
        """A line through the points."""
        if points:
            path = "L".join(f"{self.px(x):.1f} {self.py(y):.1f}" for x, y in points)
            self.parts.append(f'<path class="line {css}" d="M{path}"/>')

    def area(self, points: Sequence[Point], css: str) -> None:
        """What lies between the line through the points and the axis."""
        if points:
            closed = [(points[0][0], 0.0), *points, (points[-1][0], 0.0)]
            path = "L".join(f"{self.px(x):.1f} {self.py(y):.1f}" for x, y in closed)
            self.parts.append(f'<path class="area {css}" d="M{path}Z"/>')

    def span(self, begin: float, end: float, css: str, tip: str) -> None:
        """A stretch of the horizontal axis, from top to bottom, with something to say."""
        left, right = self.px(max(begin, self.x[0])), self.px(min(end, self.x[1]))
        self.parts.append(
            f'<rect class="span {css}" x="{left:.1f}" y="{_TOP}" width="{max(1.0, right - left):.1f}" '
            f'height="{self.height - _BOTTOM - _TOP}" data-tip="{escape(tip)}"/>'
        )

    def across(self, y: float, label: str) -> None:
        """A dashed line at a value, with what it is."""
        at = self.py(y)
        self.parts.append(f'<path class="hint" d="M{_LEFT} {at:.1f}H{WIDTH - _RIGHT}"/>')
        self.parts.append(f'<text class="small" x="{WIDTH - _RIGHT}" y="{at - 4:.1f}" text-anchor="end">')
        self.parts.append(f"{escape(label)}</text>")

    def mark(self, x: float, y: float, shape: str, css: str, tip: str) -> None:
        """A mark with something to say."""
        self.parts.append(mark(self.px(x), self.py(y), shape, css, tip))

    def svg(self) -> str:
        """The whole of it."""
        below = self.height - _BOTTOM
        axes = []
        for step in self.steps:
            at = self.py(step)
            axes.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{WIDTH - _RIGHT}"/>')
            axes.append(f'<text class="tick" x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">')
            axes.append(f"{escape(self.number(step))}</text>")
        moments = self.moments if self.moments is not None else [(at, f"{at:g}") for at in ticks(*self.x, most=7)]
        for moment, name in moments:
            if self.x[0] <= moment <= self.x[1]:
                at = self.px(moment)
                axes.append(f'<path class="axis" d="M{at:.1f} {below}v4"/>')
                axes.append(f'<text class="tick" x="{at:.1f}" y="{below + 17}" text-anchor="middle">{name}</text>')
        axes.append(f'<path class="axis" d="M{_LEFT} {below}H{WIDTH - _RIGHT}"/>')
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        axes.append(f'<text class="small" x="{middle}" y="{self.height - 4}" text-anchor="middle">')
        axes.append(f"{escape(self.along)}</text>")
        axes.append(f'<text class="small" transform="translate(11 {(below + _TOP) / 2:.1f}) rotate(-90)"')
        axes.append(f' text-anchor="middle">{escape(self.unit)}</text>')
        drawn = "".join([*axes, *self.parts])
        name = escape(self.title)
        return f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{name}">{drawn}</svg>'


def mark(x: float, y: float, shape: str, css: str, tip: str) -> str:
    """A mark at a place of the SVG: "up" (a triangle), "dot" or "box"."""
    drawn = {
        "up": f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z"/>',
        "dot": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
        "box": f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
    }[shape]
    return f'<g class="mark {css}" data-tip="{escape(tip)}">{drawn}</g>'


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` on, that reach `high`: at most about `most` of them."""
    span = high - low
    if span <= 0:
        return [low, low + 1]
    rough = span / (most - 1)
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def count(value: float) -> str:
    """A number of records."""
    for unit, step in (("M", 1_000_000), ("k", 1_000)):
        if value >= step:
            return f"{value / step:g}{unit}"
    return f"{value:g}"


def size(value: float) -> str:
    """A number of bytes."""
    for unit, step in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if value >= step:
            shown = value / step
            return f"{shown:,.0f} {unit}" if shown >= 100 else f"{shown:.3g} {unit}"
    return f"{value:,.0f} B"


def seconds(value: float) -> str:
    """A number of seconds."""
    return f"{value:g}"

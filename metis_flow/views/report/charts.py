"""Bars as SVG elements: no script, so that they print, and colours by classes of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from metis_flow.units import format_count, format_duration
from metis_flow.views.report.series import QUANTILES, Buckets, Latency

WIDTH, HEIGHT = 520.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 10.0, 10.0, 26.0
_ROOM, _TALL = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM


def stacked_bars(buckets: Buckets, unit: str, label: str) -> str:
    """Numbers over time, the series one above the other.

    Args:
        unit: of a number, for the tooltips.
        label: what the chart shows, for who cannot see it.
    """
    count = len(buckets.series[0][1])
    totals = [sum(numbers[place] for _, numbers in buckets.series) for place in range(count)]
    top = _nice(max(totals, default=0))
    slot = _ROOM / count
    gap = min(1.5, slot * 0.15)
    parts = [*_rulers(top), *_time_axis(count * buckets.width)]
    for place in range(count):
        begin = format_duration(place * buckets.width) if place else "0s"
        words = ", ".join(f"{_number(numbers[place])} {name}" for name, numbers in buckets.series if numbers[place])
        level = 0.0
        bars = []
        for name, numbers in buckets.series:
            tall = numbers[place] / top * _TALL
            y = _TOP + _TALL - level - tall
            if tall:
                bars.append(_bar(f"c-{name}", _LEFT + place * slot + gap / 2, y, slot - gap, tall))
            level += tall
        if bars:
            parts.append(f"<g><title>{escape(f'from {begin}: {words} {unit}')}</title>{''.join(bars)}</g>")
    return _svg(parts, label)


def latency_bars(latency: Latency, label: str) -> str:
    """How many calls took how long, on a logarithmic axis, with lines at the quantiles."""
    top = _nice(max(latency.bins))
    slot = _ROOM / len(latency.bins)
    parts = list(_rulers(top))
    for place, number in enumerate(latency.bins):
        if number:
            tall = number / top * _TALL
            low, high = format_duration(latency.edges[place]), format_duration(latency.edges[place + 1])
            bar = _bar("c-calls", _LEFT + place * slot + 0.5, _TOP + _TALL - tall, slot - 1, tall)
            words = f"{format_count(number)} calls took {low} to {high}"
            parts.append(f"<g><title>{escape(words)}</title>{bar}</g>")
    least, most = math.log(latency.edges[0]), math.log(latency.edges[-1])

    def x_of(seconds: float) -> float:
        share = (math.log(max(seconds, latency.edges[0])) - least) / (most - least)
        return _LEFT + min(share, 1.0) * _ROOM

    ends = ((latency.edges[0], "start"), (math.exp((least + most) / 2), "middle"), (latency.edges[-1], "end"))
    parts += [_tick(x_of(seconds), format_duration(seconds), anchor) for seconds, anchor in ends]
    for share, seconds in zip(QUANTILES[:2], latency.quantiles, strict=False):
        parts.append(_line_at(x_of(seconds), f"{share:.0%} took at most {format_duration(seconds)}"))
    return _svg(parts, label)


def _rulers(top: float) -> Iterator[str]:
    for share in (0.0, 0.5, 1.0):
        y = _TOP + _TALL * (1 - share)
        yield f'<line class="c-rule" x1="{_LEFT:g}" x2="{_LEFT + _ROOM:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        if share == 0 or top * share >= 1 or share == 1:
            place = f'text-anchor="end" x="{_LEFT - 6:g}" y="{y + 4:.1f}"'
            yield f'<text class="c-text" {place}>{_number(top * share)}</text>'


def _time_axis(seconds: float) -> Iterator[str]:
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        yield _tick(_LEFT + share * _ROOM, format_duration(seconds * share) if share else "0s", anchor)


def _tick(x: float, text: str, anchor: str) -> str:
    return f'<text class="c-text" text-anchor="{anchor}" x="{x:.1f}" y="{HEIGHT - 8:g}">{escape(text)}</text>'


def _line_at(x: float, words: str) -> str:
    line = f'<line class="c-mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP:g}" y2="{_TOP + _TALL:g}"/>'
    return f"<g><title>{escape(words)}</title>{line}</g>"


def _bar(kind: str, x: float, y: float, wide: float, tall: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(wide, 0.5):.1f}" height="{tall:.1f}"/>'


def _svg(parts: Sequence[str], label: str) -> str:
    box = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}"'
    return f'<svg {box} class="chart" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _nice(highest: float) -> float:
    """A round number at or above the highest."""
    if highest <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(factor * power for factor in (1, 2, 4, 5, 10) if factor * power >= highest - 1e-9)


def _number(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return format_count(round(value)) if value == round(value) or value >= 10 else f"{value:.1f}"

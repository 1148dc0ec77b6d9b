"""Lines on two scales of powers of ten, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BELOW, _ABOVE = 360, 240, 56, 44, 28


@dataclass(frozen=True)
class Line:
    """One line, in a panel of its own."""

    title: str
    across: Sequence[float]
    up: Sequence[float]


def drawing(lines: Sequence[Line], across: str) -> str:
    """The panels side by side.

    Args:
        across: what the numbers across are.
    """
    panels = "".join(
        f'<g transform="translate({number * _WIDTH},0)">{_panel(line, across)}</g>' for number, line in enumerate(lines)
    )
    size = f'width="{_WIDTH * len(lines)}" height="{_HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11" fill="#444"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{panels}</svg>\n'


def _panel(line: Line, across: str) -> str:
    x = _Scale(line.across, _LEFT, _WIDTH - 16)
    y = _Scale(line.up, _HEIGHT - _BELOW, _ABOVE)
    parts = [f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(line.title)}</text>']
    for value in x.powers():
        at, bottom = x.at(value), _HEIGHT - _BELOW
        parts.append(f'<path d="M{at:.1f} {_ABOVE}V{bottom}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{value:,.10g}</text>')
    for value in y.powers():
        at = y.at(value)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - 16}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:,.10g}</text>')
    points = [(x.at(one), y.at(other)) for one, other in zip(line.across, line.up, strict=True)]
    way = "L".join(f"{one:.1f} {other:.1f}" for one, other in points)
    parts.append(f'<path d="M{way}" fill="none" stroke="#2563eb" stroke-width="2"/>')
    for (one, other), value in zip(points, line.up, strict=True):
        parts.append(f'<circle cx="{one:.1f}" cy="{other:.1f}" r="3" fill="#2563eb"/>')
        parts.append(f'<text x="{one:.1f}" y="{other - 8:.1f}" text-anchor="middle" fill="#111">{value:.3g}</text>')
    parts.append(f'<text x="{_WIDTH / 2:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>')
    return "\n".join(parts)


class _Scale:
    """Places of numbers between two ends; whole powers of ten at both."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self._least = math.floor(math.log10(min(values)))
        self._most = max(math.ceil(math.log10(max(values))), self._least + 1)
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        share = (math.log10(value) - self._least) / (self._most - self._least)
        return self._begin + share * (self._end - self._begin)

    def powers(self) -> list[float]:
        return [10.0**power for power in range(self._least, self._most + 1)]

"""Where to draw the steps of a graph: layers along one axis, few crossings and straight edges across it.

The layered method of Sugiyama, Tagawa and Toda (1981): long edges get a bend in each layer that they pass, the order
within the layers is improved by sweeps of barycentres, and places across are the least squares that keep the distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from metis_flow.plan.graph import Edge, Graph

_SWEEPS = 12
_BEND = 0.4
"""Room that a bend takes across, as a share of a step's."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Places in units of one step: along by layers, across by steps.

    Attributes:
        steps: the centre of each step, along and across.
        routes: for each edge, in the graph's order, its points from source to target.
        length, breadth: how many steps it takes along and across.
    """

    steps: Mapping[str, Point]
    routes: tuple[tuple[Point, ...], ...]
    length: int
    breadth: float


@dataclass(frozen=True)
class _Web:
    """Layers of steps (by name) and bends (by number), and what touches what in the layers beside."""

    layers: list[list[object]]
    before: dict[object, list[object]]
    after: dict[object, list[object]]
    chains: list[list[object]]


def lay_out(graph: Graph) -> Layout:
    """Place the steps of a graph."""
    web = _web(graph)
    _order(web)
    across = _places(web)
    lowest = min((place - _room(node) / 2 for node, place in across.items()), default=0.0)
    highest = max((place + _room(node) / 2 for node, place in across.items()), default=0.0)
    layer_of = {node: number for number, layer in enumerate(web.layers) for node in layer}
    points = {node: (float(layer_of[node]), across[node] - lowest) for node in layer_of}
    return Layout(
        steps={name: points[name] for name in graph.order},
        routes=tuple(tuple(points[node] for node in chain) for chain in web.chains),
        length=len(web.layers),
        breadth=highest - lowest,
    )


def _web(graph: Graph) -> _Web:
    layers: list[list[object]] = [[] for _ in range(1 + max(graph.depth.values(), default=-1))]
    for name in graph.order:
        layers[graph.depth[name]].append(name)
    web = _Web(layers, {}, {}, [])
    bends = 0
    for edge in graph.edges:
        chain: list[object] = [edge.source]
        for layer in range(graph.depth[edge.source] + 1, graph.depth[edge.target]):
            layers[layer].append(bends)
            chain.append(bends)
            bends += 1
        chain.append(edge.target)
        web.chains.append(chain)
        for first, second in pairwise(chain):
            web.after.setdefault(first, []).append(second)
            web.before.setdefault(second, []).append(first)
    return web


def _order(web: _Web) -> None:
    """Sweep forth and back, and keep the order with the fewest crossings."""
    best, fewest = [list(layer) for layer in web.layers], _crossings(web)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        numbers = range(1, len(web.layers)) if forth else range(len(web.layers) - 2, -1, -1)
        for number in numbers:
            beside = {node: place for place, node in enumerate(web.layers[number - 1 if forth else number + 1])}
            links = web.before if forth else web.after
            own = {node: float(place) for place, node in enumerate(web.layers[number])}
            own |= {node: _mean([beside[other] for other in links[node]]) for node in own if links.get(node)}
            web.layers[number].sort(key=own.__getitem__)
        crossings = _crossings(web)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in web.layers], crossings
    for layer, order in zip(web.layers, best, strict=True):
        layer[:] = order


def _crossings(web: _Web) -> int:
    total = 0
    for first, second in pairwise(web.layers):
        place = {node: number for number, node in enumerate(second)}
        ends: list[int] = []
        for node in first:
            own = sorted(place[other] for other in web.after.get(node, []))
            total += sum(earlier > end for end in own for earlier in ends)
            ends += own
    return total


def _places(web: _Web) -> dict[object, float]:
    across: dict[object, float] = {}
    for layer in web.layers:
        across.update(zip(layer, _offsets(layer), strict=True))
    for sweep in range(2 * _SWEEPS):
        forth = sweep % 2 == 0
        links = web.before if forth else web.after
        for layer in web.layers if forth else reversed(web.layers):
            wanted = [
                _mean([across[other] for other in links[node]]) if links.get(node) else across[node] for node in layer
            ]
            # A bend between two others keeps an edge straight, so it weighs more than a step.
            weights = [4.0 if isinstance(node, int) else 1.0 for node in layer]
            across.update(zip(layer, _apart(wanted, weights, _offsets(layer)), strict=True))
    return across


def _apart(wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The places closest to those wanted that keep the order and the distances (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        value, count = want - offset, 1
        while blocks and blocks[-1][0] > value:
            other, heavy, size = blocks.pop()
            value = (value * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + size
        blocks.append((value, weight, count))
    flat = [value for value, _, count in blocks for _ in range(count)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


def _offsets(layer: Sequence[object]) -> list[float]:
    """Where each stands if all stand close together."""
    offsets: list[float] = []
    edge = 0.0
    for node in layer:
        offsets.append(edge + _room(node) / 2)
        edge += _room(node)
    return offsets


def _room(node: object) -> float:
    return _BEND if isinstance(node, int) else 1.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def edge_routes(graph: Graph, layout: Layout) -> list[tuple[Edge, tuple[Point, ...]]]:
    """Each edge with its points."""
    return list(zip(graph.edges, layout.routes, strict=True))

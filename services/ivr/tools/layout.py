"""Places for the boxes of a directed graph, layer by layer from the top. Pure.

Theory of operation. The four steps of Sugiyama, Tagawa and Toda (1981), each in its simplest form that is legible for the fifty nodes of
a flow:

1. *Cycles.* A depth-first search from the start turns round the edges that lead back into the present path.
2. *Layers.* A box is one layer below the lowest of those that lead to it (longest path). An edge over several layers gets a dummy in each.
   Real boxes stand in even layers: the odd layer below a box holds the labels of its edges as boxes of their own, so that no two labels,
   and no label and line, can lie on each other.
3. *Order.* Sweeps down and up put each box at the mean place of its neighbours; the order with the fewest crossings is kept.
4. *Places.* Each layer keeps its order and its gaps; sweeps draw boxes towards the mean of their neighbours as far as that allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GAP = 26.0
"""Between two boxes of a layer."""
_SWEEPS = 12


@dataclass(frozen=True)
class Edge:
    """From one box to another, with the size of its label."""

    source: str
    target: str
    label: str = ""
    label_width: float = 0.0


@dataclass
class Placed:
    """A box's centre and size, and the layer it is in."""

    x: float
    layer: int
    width: float


@dataclass(frozen=True)
class Route:
    """The way of an edge: the boxes that it passes, from its source to its target, and the one that holds its label.

    ``back``: it leads upwards.
    """

    edge: Edge
    through: tuple[str, ...]
    label_at: str
    back: bool


@dataclass
class Layout:
    """Where everything is; layers are numbered from the top."""

    boxes: dict[str, Placed] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    layers: int = 0

    @property
    def width(self) -> float:
        """From the left edge of the leftmost box, which is 0, to the right edge of the rightmost one."""
        return max((box.x + box.width / 2 for box in self.boxes.values()), default=0.0)


def place(start: str, widths: Mapping[str, float], edges: Sequence[Edge]) -> Layout:
    """Lay a graph out. ``widths`` has every box; all can be reached from ``start``, and edges name boxes that there are."""
    turned = _back_edges(start, edges)
    depth = _depths(
        list(widths), [(e.target, e.source) if e in turned else (e.source, e.target) for e in edges]
    )
    boxes = {name: Placed(0.0, 2 * depth[name], width) for name, width in widths.items()}
    links: list[tuple[str, str]] = []
    routes: list[Route] = []
    for number, edge in enumerate(edges):
        back = edge in turned
        upper, lower = (edge.target, edge.source) if back else (edge.source, edge.target)
        chain = [upper]
        first, last = boxes[upper].layer + 1, boxes[lower].layer
        # The label is next to the box where the edge begins.
        label_layer = last - 1 if back else first
        label_at = ""
        for layer in range(first, last):
            name = f" {number}.{layer}"
            is_label = layer == label_layer
            boxes[name] = Placed(0.0, layer, edge.label_width if is_label else 4.0)
            label_at = name if is_label else label_at
            chain.append(name)
        chain.append(lower)
        links += itertools.pairwise(chain)
        routes.append(Route(edge, tuple(reversed(chain) if back else chain), label_at, back))
    layout = Layout(boxes, routes, 1 + max((box.layer for box in boxes.values()), default=0))
    _order_and_place(layout, links)
    return layout


def _back_edges(start: str, edges: Sequence[Edge]) -> set[Edge]:
    """The edges that close a cycle, found depth first."""
    leaving: dict[str, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.source, []).append(edge)
    found: set[Edge] = set()
    done: set[str] = set()
    trail = {start}
    stack = [(start, iter(leaving.get(start, ())))]
    while stack:
        name, rest = stack[-1]
        step = next(rest, None)
        if step is None:
            stack.pop()
            trail.discard(name)
            done.add(name)
        elif step.target in trail:
            found.add(step)
        elif step.target not in done:
            trail.add(step.target)
            stack.append((step.target, iter(leaving.get(step.target, ()))))
    return found


def _depths(names: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way from a box without predecessors to each; ``links`` have no cycle."""
    waits = dict.fromkeys(names, 0)
    following: dict[str, list[str]] = {}
    for upper, lower in links:
        waits[lower] += 1
        following.setdefault(upper, []).append(lower)
    depth = dict.fromkeys(names, 0)
    ready = [name for name in names if not waits[name]]
    while ready:
        name = ready.pop()
        for lower in following.get(name, ()):
            depth[lower] = max(depth[lower], depth[name] + 1)
            waits[lower] -= 1
            if not waits[lower]:
                ready.append(lower)
    return depth


def _order_and_place(layout: Layout, links: Sequence[tuple[str, str]]) -> None:
    rows: list[list[str]] = [[] for _ in range(layout.layers)]
    for name, box in layout.boxes.items():
        rows[box.layer].append(name)
    above: dict[str, list[str]] = {name: [] for name in layout.boxes}
    below: dict[str, list[str]] = {name: [] for name in layout.boxes}
    for upper, lower in links:
        above[lower].append(upper)
        below[upper].append(lower)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in rows if down else reversed(rows):
            place_of = {name: i for other in rows for i, name in enumerate(other)}
            means = {
                name: _mean([float(place_of[n]) for n in neighbours[name]], place_of[name]) for name in row
            }
            row.sort(key=lambda name, means=means: means[name])  # type: ignore[misc]
        if (crossings := _crossings(rows, below)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    for row in best:
        _pack(layout, row, dict.fromkeys(row, 0.0))
    for sweep in range(_SWEEPS * 2):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in best if down else reversed(best):
            wanted = {
                name: _mean([layout.boxes[n].x for n in neighbours[name]], layout.boxes[name].x)
                for name in row
            }
            _pack(layout, row, wanted)
    left = min(box.x - box.width / 2 for box in layout.boxes.values())
    for box in layout.boxes.values():
        box.x -= left


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(rows: Sequence[Sequence[str]], below: Mapping[str, Sequence[str]]) -> int:
    count = 0
    for upper, lower in itertools.pairwise(rows):
        place_of = {name: i for i, name in enumerate(lower)}
        ends = [place_of[n] for name in upper for n in sorted(below[name], key=place_of.__getitem__)]
        count += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return count


def _pack(layout: Layout, row: Sequence[str], wanted: Mapping[str, float]) -> None:
    """Put the boxes of a layer as near as possible to where they are wanted, in their order and with gaps.

    Boxes that would overlap form a block that stands at the mean of what its boxes want (pool adjacent violators, which is the
    least-squares solution).
    """
    blocks: list[
        tuple[float, int, float]
    ] = []  # sum of wishes for the block's first box, boxes, offset of the next one
    offsets: list[float] = []
    for i, name in enumerate(row):
        box = layout.boxes[name]
        wish, count, length = wanted[name], 1, 0.0
        gap = (layout.boxes[row[i - 1]].width + box.width) / 2 + GAP if i else 0.0
        offsets.append(0.0)
        while blocks:
            total, boxes, offset = blocks[-1]
            if total / boxes + offset + gap <= wish / count:
                break
            # The block before it and this one go together: shift this one's boxes behind it.
            blocks.pop()
            shift = offset + gap
            for j in range(i - count + 1, i + 1):
                offsets[j] += shift
            wish, count, length = total + wish - count * shift, boxes + count, shift + length
            first = i - count + 1
            gap = (
                (layout.boxes[row[first - 1]].width + layout.boxes[row[first]].width) / 2 + GAP
                if first
                else 0.0
            )
        blocks.append((wish, count, length))
    i = 0
    for total, boxes, _ in blocks:
        for name, offset in zip(row[i : i + boxes], offsets[i : i + boxes], strict=True):
            layout.boxes[name].x = total / boxes + offset
        i += boxes

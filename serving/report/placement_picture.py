"""The placement and routing of a plan, drawn: three columns of nodes and ribbons of queries."""

from __future__ import annotations

from dataclasses import dataclass

from serving.report.placement import Flow, ModelUse, NodeBox, Placement
from serving.report.svg import element, label, picture, tier_colour

__all__ = ["draw_placement", "short_name"]

_WIDTH = 1060.0
_COLUMNS = {"client": (10.0, 270.0), "edge": (420.0, 250.0), "cloud": (800.0, 250.0)}
_TITLES = {"client": "clients", "edge": "edge", "cloud": "cloud"}
_TOP, _GAP, _HEAD, _ROW, _FOOT = 44.0, 18.0, 76.0, 34.0, 8.0
_RIBBON = 22.0
_COMPACT_FROM = 9


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float
    width: float
    height: float


def draw_placement(placement: Placement) -> str:
    """SVG of the placement. Ribbons are as wide as their share of the largest flow."""
    places, height = _arrange(placement)
    columns = [
        label(x, 24, _TITLES[tier], class_="column", style=f"fill:{tier_colour(tier)}")
        for tier, (x, _) in _COLUMNS.items()
    ]
    ribbons = _ribbons(placement, places)
    boxes = [_box(node, placement.task_count, places[node.name]) for node in placement.nodes]
    return picture(
        _WIDTH, height, "Models on each node and queries between them",
        *columns, *(path for path, _ in ribbons), *boxes, *(words for _, words in ribbons),
        class_="placement",
    )  # fmt: skip


def short_name(model: str) -> str:
    """`rooms-small-all` -> `small-all`: the benchmark is the same for every model."""
    return model.split("-", 1)[1] if model.count("-") > 1 else model


def _arrange(placement: Placement) -> tuple[dict[str, _Place], float]:
    heights = {
        tier: [_box_height(node, len(placement.tier(tier))) for node in placement.tier(tier)]
        for tier in _COLUMNS
    }
    totals = {tier: sum(column) + _GAP * (len(column) - 1) for tier, column in heights.items()}
    tallest = max(totals.values())
    places = {}
    for tier, (x, width) in _COLUMNS.items():
        nodes = placement.tier(tier)
        spare = (tallest - totals[tier]) / len(nodes)
        y = _TOP + spare / 2
        for node, height in zip(nodes, heights[tier], strict=True):
            places[node.name] = _Place(x, y, width, height)
            y += height + _GAP + spare
    return places, _TOP + tallest + 12


def _box_height(node: NodeBox, column: int) -> float:
    if column >= _COMPACT_FROM:
        return _HEAD
    return _HEAD + _ROW * max(1, len(node.models)) + _FOOT


def _box(node: NodeBox, task_count: int, at: _Place) -> str:
    colour = tier_colour(node.tier)
    parts = [
        element("rect", x=at.x, y=at.y, width=at.width, height=at.height, rx=8, class_="box"),
        element("rect", x=at.x, y=at.y + 8, width=4, height=at.height - 16, rx=2, fill=colour),
        label(at.x + 16, at.y + 22, node.name, class_="node"),
        label(
            at.x + at.width - 12, at.y + 22, _load(node), class_="small", text_anchor="end"
        ),
        *_bar(at, 34, "memory", node.memory_used_bytes / node.memory_bytes, colour,
              f"{_mebibytes(node.memory_used_bytes)} of {_mebibytes(node.memory_bytes)} MiB"),
        *_bar(at, 54, "compute", node.compute_used / node.compute, colour,
              f"{node.compute_used:.0%} of {node.compute:.0%}"),
    ]  # fmt: skip
    if at.height > _HEAD:
        rows = [_model_row(m, task_count, at, _HEAD + k * _ROW) for k, m in enumerate(node.models)]
        empty = label(at.x + 16, at.y + _HEAD + 18, "holds no model", class_="small")
        parts += rows or [empty]
    return element("g", *parts)


def _load(node: NodeBox) -> str:
    if node.tier != "client":
        return f"answers {node.answered_qps:.1f} q/s"
    shed = f", sheds {node.shed_qps:.1f}" if node.shed_qps > 0.05 else ""
    return f"{node.sent_qps:.1f} q/s asked{shed}"


def _bar(at: _Place, top: float, name: str, share: float, colour: str, words: str) -> list[str]:
    x, y, width = at.x + 70, at.y + top, at.width - 190
    return [
        label(at.x + 16, y + 9, name, class_="small"),
        element("rect", x=x, y=y + 2, width=width, height=7, rx=3.5, class_="track"),
        element("rect", x=x, y=y + 2, width=width * min(1.0, share), height=7, rx=3.5, fill=colour),
        label(at.x + at.width - 12, y + 9, words, class_="small", text_anchor="end"),
    ]


def _model_row(model: ModelUse, task_count: int, at: _Place, top: float) -> str:
    y, used = at.y + top, model.qps > 0
    tasks = ", ".join(model.tasks) if used else "held, no query routed to it"
    if 2 < len(model.tasks) == task_count:
        tasks = f"all {task_count} tasks"
    rate = f"{model.qps:.1f} q/s" if used else ""
    return element(
        "g",
        element("title", f"{model.name}: {_mebibytes(model.resident_bytes)} MiB, {tasks}"),
        element(
            "rect", x=at.x + 12, y=y, width=at.width - 24, height=_ROW - 4, rx=5, class_="chip"
        ),
        label(at.x + 20, y + 13, short_name(model.name), class_="model"),
        label(at.x + at.width - 20, y + 13, rate, class_="model", text_anchor="end"),
        label(at.x + 20, y + 25, _fit(tasks, at.width - 40), class_="tiny"),
    )


def _ribbons(placement: Placement, places: dict[str, _Place]) -> list[tuple[str, str]]:
    """(path, label) a flow; at both ends the ribbons of a node lie one below the other."""
    largest = max((flow.qps for flow in placement.flows), default=1.0)
    width = {id(flow): 2.5 + _RIBBON * flow.qps / largest for flow in placement.flows}
    leave = _stack(placement.flows, width, "source", places)
    arrive = _stack(placement.flows, width, "target", places)
    drawn = []
    for flow in placement.flows:
        source, target = places[flow.source], places[flow.target]
        x1, y1 = source.x + source.width, leave[id(flow)]
        x2, y2 = target.x - 10, arrive[id(flow)]
        bend = (x2 - x1) * 0.5
        colour, half = tier_colour(flow.tier), width[id(flow)] / 2
        curve = (
            f"M{x1:.1f} {y1:.1f} C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2} {y2:.1f}"
        )
        tip = f"M{x2 - 1} {y2 - half - 3:.1f} L{x2 + 9} {y2:.1f} L{x2 - 1} {y2 + half + 3:.1f} Z"
        path = element(
            "g",
            element("title", f"{flow.source} to {flow.target}, answered by the {flow.tier}"),
            element("path", d=curve, stroke=colour, stroke_width=2 * half, class_="ribbon"),
            element("path", d=tip, fill=colour, class_="tip"),
        )
        drawn.append((path, _pill(x1 + 10, y1, f"{flow.qps:.1f} q/s · {flow.share:.0%}", colour)))
    return drawn


def _pill(x: float, y: float, words: str, colour: str) -> str:
    width = 12 + 6.4 * len(words)
    return element(
        "g",
        element("rect", x=x, y=y - 9, width=width, height=18, rx=9, stroke=colour, class_="pill"),
        label(x + width / 2, y + 4, words, class_="flow", text_anchor="middle"),
    )


def _stack(
    flows: tuple[Flow, ...], width: dict[int, float], end: str, places: dict[str, _Place]
) -> dict[int, float]:
    """Height at which each flow leaves or arrives, centred on its node, with room for labels."""
    found = {}
    for name in {getattr(flow, end) for flow in flows}:
        group = [flow for flow in flows if getattr(flow, end) == name]
        room = 18.0 if end == "source" else 4.0
        steps = [max(width[id(flow)], room) + 4 for flow in group]
        y = places[name].y + places[name].height / 2 - sum(steps) / 2
        for flow, step in zip(group, steps, strict=True):
            found[id(flow)] = y + step / 2
            y += step
    return found


def _mebibytes(size_bytes: float) -> str:
    size = size_bytes / 2**20
    return f"{size:.1f}" if size < 100 else f"{size:.0f}"


def _fit(words: str, width: float) -> str:
    """`words` cut to what 10 px type fits in `width`."""
    most = int(width / 5.1)
    return words if len(words) <= most else words[: most - 1].rstrip(", ") + "…"

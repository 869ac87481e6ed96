"""The placement and routing of a plan, drawn: three columns of nodes and ribbons of queries."""

from __future__ import annotations

from dataclasses import dataclass

from serving.report.link_use import PlannedLink
from serving.report.placement import Flow, ModelUse, NodeBox, Placement
from serving.report.svg import element, label, picture, tier_colour

__all__ = ["amounts_of", "draw_placement", "short_name"]

_WIDTH = 1090.0
_COLUMNS = {"client": (10.0, 260.0), "edge": (430.0, 240.0), "cloud": (840.0, 240.0)}
_TITLES = {"client": "clients", "edge": "edge", "cloud": "cloud"}
_TOP, _GAP, _HEAD, _ROW, _FOOT = 44.0, 18.0, 76.0, 34.0, 8.0
_RIBBON = 22.0
_LABEL, _GAUGE, _APART = 18.0, 28.0, 4.0
_GAUGE_WIDTH = 130.0
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
        *_gauges(placement, places), class_="placement",
    )  # fmt: skip


def short_name(model: str) -> str:
    """`rooms-small-all` -> `small-all`: the benchmark is the same for every model."""
    return model.split("-", 1)[1] if model.count("-") > 1 else model


def _arrange(placement: Placement) -> tuple[dict[str, _Place], float]:
    heights = {
        tier: [_box_height(placement, node) for node in placement.tier(tier)] for tier in _COLUMNS
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


def _box_height(placement: Placement, node: NodeBox) -> float:
    """At least as much as the labels of what leaves the node need."""
    leaving = sum(height for _, height in _leaving(placement, node.name))
    if len(placement.tier(node.tier)) >= _COMPACT_FROM:
        return max(_HEAD, leaving)
    return max(_HEAD + _ROW * max(1, len(node.models)) + _FOOT, leaving)


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
    if at.height >= _HEAD + _ROW:
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
    leave, arrive = _heights_left(placement, places), _heights_entered(placement, places)
    drawn = []
    for flow in placement.flows:
        source, target = places[flow.source], places[flow.target]
        x1, y1 = source.x + source.width, leave[flow]
        x2, y2 = target.x - 10, arrive[flow]
        bend = (x2 - x1) * 0.5
        colour, half = tier_colour(flow.tier), _thickness(placement, flow) / 2
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


def _gauges(placement: Placement, places: dict[str, _Place]) -> list[str]:
    """What the ribbons of each link take of its budget: below them, as a bar and in words."""
    drawn = []
    for name in dict.fromkeys(flow.source for flow in placement.flows):
        at = places[name]
        for link, y in _placed(placement, at, name):
            if isinstance(link, PlannedLink):
                drawn.append(_gauge(at.x + at.width + 10, y - _GAUGE / 2, link))
    return drawn


def _gauge(x: float, y: float, link: PlannedLink) -> str:
    planned, budget = amounts_of(link)
    share = "full" if 0.999 <= link.share <= 1.001 else f"{link.share:.0%}"
    width = _GAUGE_WIDTH - 10
    return element(
        "g",
        element("title", f"{link.name}: {planned} of a budget of {budget}, {share}"),
        element("rect", x=x, y=y, width=_GAUGE_WIDTH, height=_GAUGE - 4, rx=4, class_="gauge"),
        label(x + 5, y + 11, f"{planned.split()[0]} of {budget} · {share}", class_="used"),
        element("rect", x=x + 5, y=y + 15, width=width, height=5, class_="track"),
        element(
            "rect", x=x + 5, y=y + 15, width=width * min(1.0, link.share), height=5,
            class_="use full" if link.full else "use",
        ),
    )  # fmt: skip


def amounts_of(link: PlannedLink) -> tuple[str, str]:
    """What is used and what may be, in words, both in the unit that suits the budget."""
    units = {"GB/s": 1e9, "MB/s": 1e6, "KB/s": 1e3}
    fitting = (each for each in units.items() if link.budget_bytes_per_s >= each[1])
    unit, size = next(fitting, ("B/s", 1.0))
    amounts = (link.planned_bytes_per_s / size, link.budget_bytes_per_s / size)
    used, budget = (f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in amounts)
    return f"{used} {unit}", f"{budget} {unit}"


def _thickness(placement: Placement, flow: Flow) -> float:
    largest = max(flow.qps for flow in placement.flows)
    return 2.5 + _RIBBON * flow.qps / largest


def _leaving(placement: Placement, name: str) -> list[tuple[Flow | PlannedLink, float]]:
    """What leaves a node, link by link with the link's own gauge last, and the height of each."""
    flows = [flow for flow in placement.flows if flow.source == name]
    found: list[tuple[Flow | PlannedLink, float]] = []
    for target in dict.fromkeys(flow.target for flow in flows):
        found += [
            (flow, max(_thickness(placement, flow), _LABEL) + _APART)
            for flow in flows
            if flow.target == target
        ]
        ends = (name, target)
        found += [(use, _GAUGE) for use in placement.links if (use.source, use.target) == ends]
    return found


def _placed(placement: Placement, at: _Place, name: str) -> list[tuple[Flow | PlannedLink, float]]:
    """What leaves the node at `at`, and the height of its middle, all centred on the node."""
    leaving = _leaving(placement, name)
    y, placed = at.y + at.height / 2 - sum(height for _, height in leaving) / 2, []
    for each, height in leaving:
        placed.append((each, y + height / 2))
        y += height
    return placed


def _heights_left(placement: Placement, places: dict[str, _Place]) -> dict[Flow, float]:
    return {
        each: y
        for name in {flow.source for flow in placement.flows}
        for each, y in _placed(placement, places[name], name)
        if isinstance(each, Flow)
    }


def _heights_entered(placement: Placement, places: dict[str, _Place]) -> dict[Flow, float]:
    found = {}
    for name in {flow.target for flow in placement.flows}:
        group = [flow for flow in placement.flows if flow.target == name]
        steps = [_thickness(placement, flow) + _APART for flow in group]
        y = places[name].y + places[name].height / 2 - sum(steps) / 2
        for flow, step in zip(group, steps, strict=True):
            found[flow] = y + step / 2
            y += step
    return found


def _mebibytes(size_bytes: float) -> str:
    size = size_bytes / 2**20
    return f"{size:.1f}" if size < 100 else f"{size:.0f}"


def _fit(words: str, width: float) -> str:
    """`words` cut to what 10 px type fits in `width`."""
    most = int(width / 5.1)
    return words if len(words) <= most else words[: most - 1].rstrip(", ") + "…"

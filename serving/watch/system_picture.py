"""The nodes and links as a picture without figures: the page writes these into it as they come.

What it writes into is named by data attributes: a box by `data-node`, a link by `data-link`, and in
either what is one figure by `data-figure`. Wide, tiers are columns; narrow, boxes stand below each
other, and each link is a row in the box that it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.topology import Link, Node, Tier
from serving.report.svg import element, label, line, tier_colour
from serving.watch.facts import WatchFacts

__all__ = ["draw_system", "model_rows"]

TIERS = (Tier.CLIENT, Tier.EDGE, Tier.CLOUD)
TITLES = {Tier.CLIENT: "clients", Tier.EDGE: "edges", Tier.CLOUD: "cloud"}
HEAD, ROW, FOOT, LINK_ROW, GAP, TOP = 78.0, 18.0, 8.0, 30.0, 16.0, 34.0
WIDE, WIDE_BOX, WIDE_X = 1040.0, 250.0, (4.0, 395.0, 786.0)
NARROW, NARROW_BOX = 372.0, 364.0
MOST_ROWS = 6
COMPACT_FROM = 9
"""nodes of a tier from which on their models have no rows of their own"""


@dataclass(frozen=True)
class _Box:
    node: Node
    x: float
    y: float
    width: float
    rows: int
    links: tuple[Link, ...] = ()

    @property
    def height(self) -> float:
        return HEAD + ROW * self.rows + FOOT + LINK_ROW * len(self.links)


def model_rows(facts: WatchFacts, held: Mapping[str, int]) -> dict[str, int]:
    """Node -> rows for models, so many that what it has `held` at most fits, in the end."""
    found = {}
    for tier in TIERS:
        nodes = [node.name for node in facts.topology.nodes if node.tier is tier]
        most = max((held.get(name, 0) for name in nodes), default=0)
        rows = 0 if len(nodes) >= COMPACT_FROM else min(MOST_ROWS, max(2, most))
        found.update(dict.fromkeys(nodes, rows))
    return found


def draw_system(facts: WatchFacts, rows: Mapping[str, int], *, narrow: bool) -> str:
    """SVG of the topology with a place for every figure; `rows` as of `model_rows`."""
    boxes = _stacked(facts, rows) if narrow else _in_columns(facts, rows)
    width = NARROW if narrow else WIDE
    height = max(box.y + box.height for box in boxes.values()) + 6
    titles, links = [], []
    if not narrow:
        titles = [
            label(x, 20, TITLES[tier], class_=f"column {tier}")
            for tier, x in zip(TIERS, WIDE_X, strict=True)
        ]
        links = [_link_between(facts, boxes, link) for link in facts.topology.links]
    return element(
        "svg",
        *titles,
        *links,
        *(_drawn(box) for box in boxes.values()),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="group",
        aria_label="Nodes with their models, and queries on the links between them",
        class_="system narrow" if narrow else "system",
    )


def _in_columns(facts: WatchFacts, rows: Mapping[str, int]) -> dict[str, _Box]:
    columns = []
    for tier, x in zip(TIERS, WIDE_X, strict=True):
        nodes = [node for node in facts.topology.nodes if node.tier is tier]
        columns.append([_Box(node, x, 0.0, WIDE_BOX, rows[node.name]) for node in nodes])
    totals = [sum(box.height for box in column) + GAP * (len(column) - 1) for column in columns]
    found = {}
    for column, total in zip(columns, totals, strict=True):
        y = TOP + (max(totals) - total) / 2
        for box in column:
            found[box.node.name] = _Box(box.node, box.x, y, box.width, box.rows)
            y += box.height + GAP
    return found


def _stacked(facts: WatchFacts, rows: Mapping[str, int]) -> dict[str, _Box]:
    found, y = {}, 4.0
    for tier in reversed(TIERS):
        for node in facts.topology.nodes:
            if node.tier is not tier:
                continue
            links = facts.topology.uplinks(node.name)
            box = _Box(node, 4.0, y, NARROW_BOX, rows[node.name], links)
            found[node.name] = box
            y += box.height + GAP / 2
    return found


def _drawn(box: _Box) -> str:
    x, y, width, node = box.x, box.y, box.width, box.node
    colour = tier_colour(node.tier)
    models = [
        element(
            "g",
            label(x + 14, y + HEAD + ROW * row + 12, "", class_="model", data_figure="model"),
            label(x + width - 10, y + HEAD + ROW * row + 12, "", class_="model",
                  text_anchor="end", data_figure="model-load"),
            data_row=row,
        )
        for row in range(box.rows)
    ]  # fmt: skip
    first = y + HEAD + ROW * box.rows + FOOT
    links = [_link_row(link, x, first + LINK_ROW * k, width) for k, link in enumerate(box.links)]
    return element(
        "g",
        element("rect", x=x, y=y, width=width, height=box.height, rx=8, class_="box"),
        element("rect", x=x, y=y + 8, width=4, height=box.height - 16, rx=2, fill=colour),
        label(x + 14, y + 21, node.name, class_="node"),
        label(x + 14 + 8.4 * len(node.name) + 8, y + 21, "", class_="health",
              data_figure="health"),
        label(x + width - 10, y + 21, "", class_="small", text_anchor="end", data_figure="load"),
        *_bar(x, y + 32, width, "memory", colour),
        *_bar(x, y + 50, width, "compute", colour),
        *models,
        *links,
        data_node=node.name,
        role="button",
        tabindex=0,
        aria_label=f"{node.name}, {node.tier}",
        class_="machine",
    )  # fmt: skip


def _bar(x: float, y: float, width: float, name: str, colour: str) -> list[str]:
    """A budget: how much of it is used, and how much the plan uses (a tick)."""
    left, length = x + 72, width - 194
    return [
        label(x + 14, y + 9, name, class_="small"),
        element("rect", x=left, y=y + 2, width=length, height=7, rx=3.5, class_="track"),
        element("rect", x=left, y=y + 2, width=0, height=7, rx=3.5, fill=colour,
                data_figure=f"{name}-bar", data_length=length),
        line(left, y - 1, left, y + 12, class_="planned", data_figure=f"{name}-planned",
             data_left=left, data_length=length, visibility="hidden"),
        label(x + width - 10, y + 9, "", class_="small", text_anchor="end",
              data_figure=f"{name}-words"),
    ]  # fmt: skip


def _link_between(facts: WatchFacts, boxes: Mapping[str, _Box], link: Link) -> str:
    """A link from column to column; ends of one node lie one below the other."""
    source, target = boxes[link.source], boxes[link.target]
    up = [each.target for each in facts.topology.uplinks(link.source)]
    down = [each.source for each in facts.topology.links if each.target == link.target]
    x1, x2 = source.x + source.width, target.x
    y1 = source.y + source.height * (up.index(link.target) + 1) / (len(up) + 1)
    y2 = target.y + target.height * (down.index(link.source) + 1) / (len(down) + 1)
    bend = (x2 - x1) / 2
    curve = f"M{x1:.1f} {y1:.1f} C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2} {y2:.1f}"
    return element(
        "g",
        element("path", d=curve, class_="wire"),
        element("path", d=curve, class_="dash", data_figure="edge-flow",
                stroke=tier_colour("edge")),
        element("path", d=curve, class_="dash", data_figure="cloud-flow",
                stroke=tier_colour("cloud")),
        element("rect", x=x1 + 8, y=y1 - 10, width=118, height=20, rx=10, class_="pill"),
        label(x1 + 67, y1 + 4, "", class_="flow", text_anchor="middle", data_figure="flow"),
        **_link_attributes(link),
    )  # fmt: skip


def _link_row(link: Link, x: float, y: float, width: float) -> str:
    way = f"M{x + 14:g} {y + 20:g} H{x + width - 10:g}"
    return element(
        "g",
        label(x + 14, y + 10, f"to {link.target}", class_="small"),
        label(x + width - 10, y + 10, "", class_="flow", text_anchor="end", data_figure="flow"),
        element("path", d=way, class_="wire"),
        element("path", d=way, class_="dash", data_figure="edge-flow", stroke=tier_colour("edge")),
        element("path", d=way, class_="dash", data_figure="cloud-flow",
                stroke=tier_colour("cloud")),
        **_link_attributes(link),
    )  # fmt: skip


def _link_attributes(link: Link) -> dict[str, object]:
    return {"data_link": link.name, "class_": "link"}

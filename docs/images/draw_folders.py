"""Draw docs/images/folders.svg, the folders of the project and the direction of their imports.

    python docs/images/draw_folders.py

A new folder is a new box in `COLUMNS`: below every folder of its own panel that imports it, above
every one that it imports. A test compares the picture with the imports that there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["draw"]

PICTURE = Path(__file__).with_name("folders.svg")
BOX_WIDTH, BOX_HEIGHT, GAP, PADDING = 148, 40, 10, 12
HEADING, MARGIN, BETWEEN = 50, 16, 18
INK, GREY = "#1d2329", "#4a5560"

Row = Sequence[tuple[str, str]]
"""boxes side by side: a folder and what it holds"""


@dataclass(frozen=True)
class Panel:
    """A folder at the root of the project and the folders in it."""

    name: str
    holds: str
    fill: str
    stroke: str
    rows: Sequence[Row]

    @property
    def width(self) -> int:
        """Pixels across."""
        most = max(len(row) for row in self.rows)
        return 2 * PADDING + most * (BOX_WIDTH + GAP) - GAP

    @property
    def height(self) -> int:
        """Pixels down, without the heading."""
        return 2 * PADDING + len(self.rows) * (BOX_HEIGHT + GAP) - GAP


SERVING = Panel(
    "serving", "the running system and its simulator", "#eef5fb", "#0072b2",
    (
        [("serving/cli", "the verbs of testbed")],
        [
            ("serving/experiments", "drift, bursts, faults"),
            ("serving/doctor", "what a machine lacks"),
            ("serving/watch", "the page, recordings"),
        ],
        [("serving/experiment_runs", "simulated or live"), ("serving/scale", "null nodes")],
        [("serving/report", "report.html, figures")],
        [("serving/verdicts", "predictions that held")],
        [("serving/simulation", "on a virtual clock")],
        [("serving/traffic", "load generator, scores"), ("serving/replan", "the live loop")],
        [("serving/client", "the Python client"), ("serving/deploy", "Ray Serve, assignments")],
        [("serving/ingress", "HTTP and gRPC doors"), ("serving/rollout", "stages, interim routes")],
        [("serving/node", "a node at run time"), ("serving/setting", "topology, models, costs")],
        [("serving/node/links", "uplinks between nodes"), ("serving/metrics", "Prometheus")],
        [
            ("serving/node/device", "batching, admission"),
            ("serving/routing", "shares to choices"),
            ("serving/http", "HTTP/1.1 connections"),
        ],
        [
            ("serving/logs", "lines with a node's name"),
            ("serving/tracing", "spans of single queries"),
            ("serving/runs", "files, manifests"),
        ],
    ),
)  # fmt: skip
PLANNER = Panel(
    "planner", "the mathematics", "#fdf1e8", "#b8500c",
    (
        [("planner/experiments", "the paper's studies")],
        [("planner/explanation", "what binds, and why")],
        [("planner/policies", "baj3o, certified, ...")],
        [("planner/decomposition", "one edge at a time")],
        [("planner/bursts", "room for bursts, refuges")],
        [("planner/fairness", "the least client first")],
        [("planner/programs", "rows, prices, bounds")],
        [("planner/instances", "random problems")],
        [("planner", "problem, plan, evaluate")],
        [("planner/solvers", "HiGHS, Gurobi")],
    ),
)  # fmt: skip
PROFILING = Panel(
    "profiling", "costs", "#f6f0f8", "#8a4a9e", ([("profiling", "fit of ν and c, memory")],)
)
MODELS = Panel(
    "models", "what is served", "#e9f6f1", "#007a58",
    (
        [("models/curation", "register, verify, tables")],
        [("models/training", "train, distil, affinity")],
        [("models/scoring", "accuracy on a test split")],
        [("models/benchmarks", "pictures with labels")],
        [("models/runtime", "a model on a device")],
        [("models/zoo", "cards, checkpoints")],
        [("models/networks", "backbones, heads")],
        [("models/tasks", "metrics, encodings")],
    ),
)  # fmt: skip
CLUSTER = Panel(
    "cluster", "machines", "#f4f4ef", "#6b6b52",
    (
        [("cluster/manifests", "for KubeRay, ray up")],
        [("cluster/providers", "Ray up and down")],
        [("cluster", "topology, demand files")],
        [("cluster/specs", "topologies that ship")],
    ),
)  # fmt: skip
TESTBED = Panel(
    "testbed", "what scripts import", "#fff", "#4a5560", ([("testbed", "the public names")],)
)
COLUMNS = ([TESTBED, SERVING], [PLANNER, PROFILING], [MODELS], [CLUSTER])
"""from left to right, panels of a column one above the other"""
RULE = (
    "A folder imports only from boxes below it in its own column, and from columns to its right. "
    "No import runs back."
)


def draw() -> str:
    """The picture as SVG."""
    parts: list[str] = []
    x, bottom = MARGIN, 0
    for column in COLUMNS:
        y = 0
        for panel in column:
            y += HEADING
            parts += _draw_panel(panel, x, y)
            y += panel.height
        bottom = max(bottom, y)
        x += max(panel.width for panel in column) + BETWEEN
    width, height = x - BETWEEN + MARGIN, bottom + 44
    parts.append(_text(MARGIN, bottom + 28, RULE, 13, INK))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, \'DejaVu Sans\', sans-serif" role="img" '
        f'aria-label="The folders of the project. {RULE}">'
    )
    paper = f'<rect width="{width}" height="{height}" fill="#fbfbf9"/>'
    return "\n".join((head, paper, *parts, "</svg>\n"))


def _draw_panel(panel: Panel, x: int, top: int) -> Iterator[str]:
    yield _rectangle(x, top, panel.width, panel.height, panel.fill, panel.stroke)
    yield _text(x + 2, top - 25, f"{panel.name}/", 16, panel.stroke, bold=True)
    yield _text(x + 2, top - 8, panel.holds, 13, GREY)
    for number, row in enumerate(panel.rows):
        y = top + PADDING + number * (BOX_HEIGHT + GAP)
        for place, (folder, holds) in enumerate(row):
            left = x + PADDING + place * (BOX_WIDTH + GAP)
            middle = left + BOX_WIDTH // 2
            inside = folder.removeprefix(f"{panel.name}/")
            title = f"{folder}/*.py" if folder == panel.name else inside
            yield _rectangle(left, y, BOX_WIDTH, BOX_HEIGHT, "#fff", panel.stroke)
            yield _text(middle, y + 17, title, 14, INK, bold=True, folder=folder)
            yield _text(middle, y + 32, holds, 11, GREY, centred=True)


def _rectangle(x: int, y: int, width: int, height: int, fill: str, stroke: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="7" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )


def _text(
    x: int,
    y: int,
    words: str,
    size: int,
    fill: str,
    *,
    bold: bool = False,
    centred: bool = False,
    folder: str = "",
) -> str:
    """A line of text; the name of a folder says which one it is, for the test."""
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="middle"' if centred or folder else ""
    marked = f' class="folder" data-folder="{folder}"' if folder else ""
    look = f'{anchor} font-size="{size}"{weight} fill="{fill}"'
    return f'<text x="{x}" y="{y}"{marked}{look}>{words}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"wrote {PICTURE}")

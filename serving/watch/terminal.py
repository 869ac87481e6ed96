"""A frame for a terminal: what the page shows, in eighty columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serving.watch.frame import LinkNow, NodeNow, WatchFrame

__all__ = ["WIDTH", "terminal_frame"]

WIDTH = 80
TIERS = {"client": "blue", "edge": "yellow", "cloud": "green"}
BAR = 8
BUDGETS, DECISIONS, EVENTS = 5, 4, 3


def terminal_frame(frame: WatchFrame, title: str) -> RenderableType:
    """All of it, one part below the other, at most `WIDTH` wide."""
    parts: list[RenderableType] = [_head(frame, title), _nodes(frame), _links(frame)]
    parts += [_answers(frame), _budgets(frame), *_lines(frame)]
    return Group(*parts)


def _head(frame: WatchFrame, title: str) -> Text:
    overall = frame.accuracy[0] if frame.accuracy else None
    loop = {"none": "no live loop", "running": "the loop runs", "paused": "the loop is paused"}
    told = (
        [title, loop[frame.loop]]  # a title of a running system says that it is live
        if frame.live
        else [f"{title}, {frame.at_s:.1f} of {frame.end_s:.1f} s"]
    )
    text = Text("; ".join(told), style="bold", overflow="ellipsis", no_wrap=True)
    text.append(f"\n{frame.asked_qps:.1f} q/s asked, {frame.answered_qps:.1f} answered")
    if overall is not None and overall.value is not None:
        how = "with labels" if overall.source == "labels" else "estimated"
        text.append(f"; accuracy {overall.value:.3f} {how}")
        if overall.promised is not None:
            text.append(f", {overall.promised:.3f} promised")
    plan = frame.plan
    if plan is not None:
        text.append(f"\nplan version {plan.version} of {plan.policy}")
        if plan.gap is not None:
            text.append(f": {plan.objective:.3f} of at most {plan.upper_bound:.3f} (gap ")
            text.append(f"{plan.gap:.1%})")
    if frame.note:
        text.append(f"\n{frame.note}", style="red")
    return text


def _table(*columns: tuple[str, bool], widths: Sequence[int | None] = ()) -> Table:
    """A table with these columns, each with whether it is set to the right; those without a width
    share what the others leave."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, width=WIDTH)
    for k, (name, right) in enumerate(columns):
        width = widths[k] if k < len(widths) else None
        free = bool(widths) and width is None
        table.add_column(
            name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis",
            width=width, ratio=1 if free else None,
        )  # fmt: skip
    return table


def _nodes(frame: WatchFrame) -> Table:
    table = _table(
        ("node", False), ("", False), ("memory", False), ("compute", False), ("q/s", True),
        ("wait", True), ("models", False), widths=(12, 7, 13, 13, 5, 4, None),
    )  # fmt: skip
    for node in frame.nodes:
        qps = node.arrived_qps if node.tier == "client" else node.answered_qps
        health = Text("well") if node.health == "well" else Text(node.health, style="bold red")
        table.add_row(
            Text(node.name, style=TIERS[node.tier]),
            health,
            _bar(node.memory_bytes / node.memory_budget_bytes),
            _bar(node.busy_share / node.compute_budget),
            f"{qps:.1f}",
            str(node.waiting),
            _models(node),
        )
    return table


def _models(node: NodeNow) -> str:
    names = [model.name.split("-", 1)[-1] for model in node.models]
    return ", ".join(names) or "none"


def _links(frame: WatchFrame) -> Table:
    table = _table(
        ("link", False), ("q/s", True), ("edge", True), ("cloud", True), ("of budget", False),
        ("", False),
    )  # fmt: skip
    for link in frame.links:
        table.add_row(
            link.name,
            f"{link.qps:.1f}",
            f"{link.edge_qps:.1f}",
            f"{link.cloud_qps:.1f}",
            _bar(_used(link)),
            Text(link.condition, style="bold red"),
        )
    return table


def _used(link: LinkNow) -> float:
    return link.bytes_per_s / link.budget_bytes_per_s if link.budget_bytes_per_s else 0.0


def _answers(frame: WatchFrame) -> Table:
    table = _table(
        ("answered by", False), ("p50", True), ("p95", True), ("promised", True),
        ("within", True), ("refused, or sent another way", False),
    )  # fmt: skip
    refusals = [
        f"{each.qps:.2f}/s {each.reason}{' (another way)' if each.spilled else ''}"
        for each in frame.refusals
    ]
    rows = max(len(frame.latency), len(refusals), 1)
    for k in range(rows):
        cells = [""] * 5
        if k < len(frame.latency):
            row = frame.latency[k]
            bound = _ms(row.bound_s or None)
            cells = [row.tier, _ms(row.p50_s), _ms(row.p95_s), bound, f"{row.within_share:.1%}"]
        table.add_row(*cells, refusals[k] if k < len(refusals) else "")
    return table


def _budgets(frame: WatchFrame) -> Table:
    table = _table(("budget", False), ("used", True), ("plan", True), ("what more buys", False))
    dearest = sorted(
        frame.budgets, key=lambda b: (-(b.planned.gain_of_tenth or 0.0), -b.planned.planned_share)
    )
    for budget in dearest[:BUDGETS]:
        planned, gain = budget.planned, budget.planned.gain_of_tenth
        buys = ""
        if planned.binds and gain is not None:
            more = "one more model" if planned.label == "F4" else "10 % more"
            buys = f"{more}: at most +{gain:.4f}"
        used = "–" if budget.used_share is None else f"{budget.used_share:.0%}"
        table.add_row(
            f"{planned.place} ({planned.label})", used, f"{planned.planned_share:.0%}", buys
        )
    return table


def _lines(frame: WatchFrame) -> Sequence[Text]:
    told = []
    for decision in frame.decisions[:DECISIONS]:
        became = f"version {decision.version}" if decision.version else "stays"
        if decision.changes and not decision.version:
            became = "would change" if decision.dry_run else "a new plan goes out"
        if decision.fault:
            became = f"failed: {decision.fault}"
        told.append((decision.at_s, f"{became}: {decision.reason}"))
    told += [(event.at_s, event.words) for event in frame.events[:EVENTS]]
    ordered = sorted(told, key=lambda entry: -entry[0])
    return [
        Text(f"{at_s:7.1f} s  {words}", no_wrap=True, overflow="ellipsis")
        for at_s, words in ordered
    ]


def _bar(share: float) -> Text:
    filled = round(BAR * min(1.0, max(0.0, share)))
    style = "bold red" if share > 1.0 else ""
    return Text(f"{'█' * filled}{'░' * (BAR - filled)} {share:4.0%}", style=style)


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.0f} ms"

"""The live loop's metrics for Prometheus, for as long as it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from serving.cli.console import VerbOutput
from serving.metrics.endpoint import METRICS_PATH, PageServer
from serving.metrics.targets import ScrapeTarget, write_prometheus
from serving.replan.loop_metrics import LoopMetrics

__all__ = ["LOOP", "scraped"]

LOOP = "live-loop"
"""its name among the nodes that are scraped"""


def scraped(
    out: VerbOutput,
    run: Callable[[], Awaitable[None]],
    metrics: LoopMetrics,
    folder: Path,
    nodes: Mapping[str, ScrapeTarget],
    token: str | None,
) -> Callable[[], Awaitable[None]]:
    """`run` with a page of `metrics` beside it, which joins the targets `nodes` in `folder` while
    it is there. Targets that cannot be written cost nothing but themselves."""

    def write(targets: Mapping[str, ScrapeTarget]) -> None:
        try:
            write_prometheus(folder, targets, token)
        except OSError as error:
            out.say(f"the targets for Prometheus are not written: {error}")

    async def run_scraped() -> None:
        page = PageServer(metrics.page, node=LOOP)
        await page.start()
        out.say(f"metrics of the loop: curl http://{page.address}{METRICS_PATH}")
        write({**nodes, LOOP: ScrapeTarget(page.address, "loop")})
        try:
            await run()
        finally:
            write(nodes)
            await page.close()

    return run_scraped

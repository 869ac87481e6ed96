"""The verb of the zoo: train."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli.cluster_verbs import Json
from serving.cli.console import Output

__all__ = ["VERBS"]


def train(
    model: Annotated[list[str] | None, typer.Argument(help="names; see --list")] = None,
    all_: Annotated[bool, typer.Option("--all", help="every model of the zoo")] = False,
    list_: Annotated[bool, typer.Option("--list", help="list what can be trained")] = False,
    threads: Annotated[int, typer.Option(help="threads of torch; the bits depend on it")] = 1,
    fresh: Annotated[bool, typer.Option(help="ignore an interrupted run")] = False,
    as_json: Json = False,
) -> None:
    """Train models of the zoo again, writing their checkpoints and cards. Resumes by itself."""
    out = Output(as_json)
    from models.specs import SPECS, find_spec

    if list_ or not (model or all_):
        for spec in SPECS.values():
            out.say(f"{spec.name}  {', '.join(spec.tasks)}  ({spec.steps} steps)")
        out.result({name: list(spec.tasks) for name, spec in SPECS.items()})
        return
    specs = list(SPECS.values()) if all_ else [find_spec(name) for name in model or ()]
    from models.train import TrainingProgress, train_model

    metrics = {}
    for spec in specs:
        with out.progress(spec.name) as advance:

            def report(progress: TrainingProgress) -> None:
                loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
                advance(progress.done, progress.total, f"{progress.stage} {loss}")

            card = train_model(spec, on_progress=report, resume=not fresh, threads=threads)
        metrics[card.name] = {task: metric.value for task, metric in card.metrics.items()}
        scores = ", ".join(f"{task} {value:.3f}" for task, value in metrics[card.name].items())
        out.say(f"[bold]{card.name}[/]: {scores}")
    out.result(metrics)


VERBS = (train,)

"""The verb of the zoo: train."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli.cluster_verbs import Json
from serving.cli.console import Output

__all__ = ["VERBS"]


def train(
    model: Annotated[list[str] | None, typer.Argument(help="names; see --list")] = None,
    all_: Annotated[bool, typer.Option("--all", help="every model, or every one of B")] = False,
    benchmark: Annotated[str | None, typer.Option(metavar="B", help="with --all or --list")] = None,
    list_: Annotated[bool, typer.Option("--list", help="list what can be trained")] = False,
    threads: Annotated[int, typer.Option(help="threads of torch; the bits depend on it")] = 1,
    fresh: Annotated[bool, typer.Option(help="ignore an interrupted run")] = False,
    as_json: Json = False,
) -> None:
    """Train models of the zoo again, writing their checkpoints and cards. Resumes by itself.

    An interrupted --all goes on with the model it was at; a finished one starts over.
    """
    out = Output(as_json)
    from models.specs import TrainingSpec, find_spec, specs_of

    if list_ or not (model or all_):
        listed = specs_of(benchmark)
        for spec in listed:
            out.say(f"{spec.name}  {', '.join(spec.tasks)}  ({spec.steps} steps)")
        out.result({spec.name: list(spec.tasks) for spec in listed})
        return
    specs = specs_of(benchmark) if all_ else [find_spec(name) for name in model or ()]
    from models.rebuild import rebuild
    from models.train import TrainingProgress, train_model
    from models.zoo.cards import ModelCard

    def train_one(spec: TrainingSpec) -> ModelCard:
        with out.progress(spec.name) as advance:

            def report(progress: TrainingProgress) -> None:
                loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
                advance(progress.done, progress.total, f"{progress.stage} {loss}")

            return train_model(spec, on_progress=report, resume=not fresh, threads=threads)

    metrics = {}
    for card in rebuild(specs, train_one, resume=all_ and not fresh):
        metrics[card.name] = {task: metric.value for task, metric in card.metrics.items()}
        scores = ", ".join(f"{task} {value:.3f}" for task, value in metrics[card.name].items())
        out.say(f"[bold]{card.name}[/]: {scores}")
    out.result(metrics)


VERBS = (train,)

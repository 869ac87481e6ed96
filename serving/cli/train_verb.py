"""The verb of the zoo: train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import InputError
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.options import STEPS, THREADS, number
from serving.cli.output import check_folder

__all__ = ["VERBS"]


def train(
    model: Annotated[list[str] | None, typer.Argument(help="names; see --list")] = None,
    all_: Annotated[bool, typer.Option("--all", help="every model, or every one of B")] = False,
    benchmark: Annotated[str | None, typer.Option(metavar="B", help="with --all or --list")] = None,
    list_: Annotated[bool, typer.Option("--list", help="list what can be trained")] = False,
    threads: Annotated[int, number(THREADS, help="of torch; the bits depend on it")] = 1,
    fresh: Annotated[bool, typer.Option(help="ignore an interrupted run")] = False,
    data: Annotated[Path | None, typer.Option(help="folder of a data set on disk")] = None,
    zoo: Annotated[
        Path, typer.Option(help="where a model goes that does not ship with the package")
    ] = Path("out/zoo"),
    device: Annotated[str, typer.Option(help="cpu, cuda:0, ...")] = "cpu",
    steps: Annotated[int | None, number(STEPS, help="instead of the spec's")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="model of the zoo to learn from beside the labels")
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="every two tasks of B together: which ones suit")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train models of the zoo again, writing their checkpoints and cards. Resumes by itself.

    An interrupted --all goes on with the model it was at; a finished one starts over. A model of a
    data set on disk, or on a large network, is named BENCHMARK-SIZE-TASK and goes into --zoo. So do
    --pairs, beside which `testbed zoo affinity` is written anew.
    """
    out = VerbOutput(as_json)
    from models.networks.architectures import COUNTERPARTS
    from models.training.specs import TrainingSpec
    from models.training.specs_on_demand import (
        find_trainable,
        is_shipped,
        large_specs,
        trainable_of,
    )

    if pairs and (model or all_ or benchmark is None):
        raise InputError("--pairs trains every two tasks of one benchmark: name it by --benchmark")
    if model and all_:
        raise InputError(f"--all trains every model; leave out {' '.join(model)}, or --all")
    if list_ or not (model or all_ or pairs):
        listed = [*trainable_of(benchmark), *(() if benchmark else large_specs())]
        for spec in listed:
            out.say(f"{spec.name}  {', '.join(spec.tasks)}  ({spec.steps} steps)")
        out.result({spec.name: list(spec.tasks) for spec in listed})
        return
    check_folder(zoo, "--zoo")
    from models.training.affinity import collect_affinity, pair_specs

    if pairs and benchmark:
        specs = list(pair_specs(benchmark))
    else:
        specs = trainable_of(benchmark) if all_ else [find_trainable(name) for name in model or ()]
    if data is not None:
        for spec in specs:
            if spec.benchmark not in COUNTERPARTS:
                raise InputError(
                    f"--data {data}: {spec.name} is trained on pictures that are rendered, not on "
                    "a data set on disk; see `testbed train --list`"
                )
    if steps is not None:
        specs = [replace(spec, steps=steps) for spec in specs]
    if teacher is not None:
        specs = [replace(spec, teacher=teacher) for spec in specs]
    from models.curation.affinity_tables import affinity_path
    from models.training.rebuild import rebuild
    from models.training.train import TrainingProgress, train_model
    from models.zoo.cards import ModelCard
    from models.zoo.registry import ZOO_FOLDER, card_path, list_models

    def train_one(spec: TrainingSpec) -> ModelCard:
        with out.progress(spec.name) as advance:

            def report(progress: TrainingProgress) -> None:
                loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
                advance(progress.done, progress.total, f"{progress.stage} {loss}")

            return train_model(
                spec,
                out_dir=ZOO_FOLDER if is_shipped(spec) else zoo,
                on_progress=report,
                resume=not fresh,
                threads=threads,
                data=data,
                device=device,
            )

    metrics = {}
    for card in rebuild(specs, train_one, resume=(all_ or pairs) and not fresh):
        metrics[card.name] = {task: metric.value for task, metric in card.metrics.items()}
        scores = ", ".join(f"{task} {value:.3f}" for task, value in metrics[card.name].items())
        out.say(f"[bold]{card.name}[/]: {scores}")
    if pairs and benchmark:
        trained = [ModelCard.load(card_path(spec.name, zoo)) for spec in specs]
        found = collect_affinity(benchmark, [*list_models(benchmark), *trained])
        out.say(f"[bold]affinity[/]: {found.save(affinity_path(benchmark))}")
    out.result(metrics)


VERBS = (train,)

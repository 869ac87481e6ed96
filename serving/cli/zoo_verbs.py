"""The verbs of the zoo: list, show, verify and register models, and score one on real pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from models.zoo.cards import ModelCard
from models.zoo.registry import ZOO_VARIABLE, checkpoint_path, find_model, list_models
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.inputs import Json, models_of
from serving.cli.options import IMAGES, NETWORKS, SHARE_OR_NONE, THREADS, number
from serving.cli.output import check_folder

__all__ = ["VERBS", "zoo"]

zoo = typer.Typer(help="The models: what there is, whether cards are true, and models of your own.")

Names = Annotated[list[str] | None, typer.Argument(help="models; default: all")]
Zoo = Annotated[
    Path | None, typer.Option("--zoo", help=f"one more zoo, besides those of {ZOO_VARIABLE}")
]
Data = Annotated[
    Path | None, typer.Option("--data", help="folder of a benchmark that is read from disk")
]
Threads = Annotated[int, number(THREADS, help="of torch")]


@zoo.command("list")
def list_(
    benchmark: Annotated[str | None, typer.Option(help="only models of this benchmark")] = None,
    folder: Zoo = None,
    as_json: Json = False,
) -> None:
    """Every trained model with its tasks and metrics."""
    out = VerbOutput(as_json)
    _use(folder)
    cards = models_of(benchmark) if benchmark else list_models()
    table = Table("model", "size class", "parameters", "metric by task")
    for card in cards:
        metrics = ", ".join(f"{task} {card.accuracy(task):.3f}" for task in card.tasks)
        table.add_row(card.name, card.size_class, f"{card.parameters / 1e6:.2f} M", metrics)
    out.table(table)
    out.result({"models": [_brief(card) for card in cards]})


@zoo.command()
def show(
    model: Annotated[str, typer.Argument(help="a model's name")],
    folder: Zoo = None,
    as_json: Json = False,
) -> None:
    """A model's card."""
    out = VerbOutput(as_json)
    _use(folder)
    card = find_model(model)
    table = Table(show_header=False)
    for key, value in card.model_dump(exclude={"metrics", "preprocessing"}).items():
        if value is not None:
            table.add_row(key, ", ".join(value) if isinstance(value, tuple) else str(value))
    for key, value in card.preprocessing.model_dump().items():
        table.add_row(f"preprocessing.{key}", str(value))
    for task, metric in card.metrics.items():
        words = f"{metric.value:.4f} ± {metric.half_width:.4f} over {metric.images} images"
        table.add_row(f"metrics.{task}", words)
    table.add_row("file", str(checkpoint_path(card)))
    out.table(table)
    out.result({**card.model_dump(mode="json"), "file": str(checkpoint_path(card))})


@zoo.command()
def fetch(
    models: Names = None,
    place: Annotated[
        str | None,
        typer.Option("--from", help="folder or http(s) address; default: TESTBED_ZOO_URL's"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch checkpoints that this installation lacks, before they are needed."""
    out = VerbOutput(as_json)
    cards = [find_model(name) for name in models] if models else list(list_models())
    from models.zoo.fetch import fetch_checkpoint, local_checkpoint, present_checkpoint

    found: dict[str, str] = {}
    for card in cards:
        if not (path := local_checkpoint(card)).is_file():
            path = present_checkpoint(card) if place is None else fetch_checkpoint(card, place)
            out.wrote(path)
        found[card.name] = str(path)
    out.say(f"checkpoints here: {len(found)}")
    out.result({"files": found})


@zoo.command()
def verify(
    models: Names = None,
    folder: Zoo = None,
    data: Data = None,
    files_only: Annotated[bool, typer.Option(help="digests only, no scoring")] = False,
    tolerance: Annotated[
        float, number(SHARE_OR_NONE, help="largest difference of a metric")
    ] = 0.002,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Check that cards are true: checkpoints' digests, and metrics measured again."""
    out = VerbOutput(as_json)
    _use(folder)
    cards = [find_model(name) for name in models] if models else list(list_models())
    from models.curation.verify import verify_model

    found = []
    for card in cards:
        with out.progress(card.name) as advance:
            result = verify_model(
                card,
                data=data,
                threads=threads,
                files_only=files_only,
                tolerance=tolerance,
                on_progress=advance,
            )
        found.append(result)
        for fault in result.faults:
            out.say(f"[red]{fault}[/]")
        if not result.faults:
            out.say(f"[bold]{card.name}[/]: true to its card")
    out.result({r.model: {"faults": list(r.faults), "metrics": dict(r.metrics)} for r in found})
    if any(result.faults for result in found):
        raise typer.Exit(ExitCode.NOT_MET)


@zoo.command()
def affinity(
    benchmark: Annotated[str, typer.Argument(help="rooms, domains or streets")],
    networks: Annotated[int, number(NETWORKS, help="at most so many, to serve all tasks")] = 3,
    as_json: Json = False,
) -> None:
    """What tasks gain by training together, and which to train together in few networks."""
    out = VerbOutput(as_json)
    from models.curation.affinity_tables import load_affinity
    from models.training.affinity import best_networks, gain_ij

    found = load_affinity(benchmark)
    gain = gain_ij(found)
    table = Table("beside", *found.tasks)
    for j, task in enumerate(found.tasks):
        table.add_row(task, *(f"{gain[i, j]:+.3f}" if i != j else "" for i in range(len(gain))))
    out.table(table)
    chosen, mean = best_networks(found, networks)
    for network in chosen:
        out.say(f"train {', '.join(network.trained)}; ask for {', '.join(network.asked)}")
    out.say(f"predicted mean {mean:.3f}")
    out.result(
        {
            "tasks": list(found.tasks),
            "gain": {
                task: dict(zip(found.tasks, row, strict=True))
                for task, row in zip(found.tasks, gain.tolist(), strict=True)
            },
            "networks": [{"trained": n.trained, "asked": n.asked} for n in chosen],
            "predicted_mean": mean,
        }
    )


@zoo.command()
def register(
    file: Annotated[Path, typer.Argument(help="Python file with CARD and build()")],
    folder: Annotated[Path, typer.Option("--zoo", help="folder of your own zoo")],
    weights: Annotated[Path | None, typer.Option(help="safetensors file of the network")] = None,
    data: Data = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Put a model of your own into a zoo: checked, measured, with a card."""
    out = VerbOutput(as_json)
    check_folder(folder, "--zoo")
    folder.mkdir(parents=True, exist_ok=True)
    _use(folder)
    from models.curation.register import register_model

    with out.progress(file.stem) as advance:
        card = register_model(
            file, folder, weights=weights, data=data, threads=threads, on_progress=advance
        )
    scores = ", ".join(f"{task} {card.accuracy(task):.3f}" for task in card.tasks)
    out.say(f"[bold]{card.name}[/]: {scores}")
    out.say(f"set {ZOO_VARIABLE}={folder.resolve()} for every verb, `testbed up` first of all")
    out.result(_brief(card))


def score(
    model: Annotated[str, typer.Argument(help="a model's name")],
    data: Annotated[Path, typer.Option("--data", help="folder of the pictures")],
    benchmark: Annotated[
        str | None, typer.Option(help="whose layout it has; default: the model's own")
    ] = None,
    images: Annotated[int | None, number(IMAGES, help="at most so many pictures")] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    folder: Zoo = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Score a model on real pictures; one of `domains` also on other sets of the same classes."""
    out = VerbOutput(as_json)
    _use(folder)
    card = find_model(model)
    from models.scoring.real_scores import score_on_disk

    with out.progress(model) as advance:
        rows = score_on_disk(
            card, benchmark or card.benchmark, data, split, images, threads, advance
        )
    table = Table("asked", "of pictures of", "score", "images", "classes in common")
    for row in rows:
        table.add_row(row.task, row.domain, f"{row.score:.3f}", str(row.images), str(row.classes))
    out.table(table)
    out.result({"model": model, "rows": [vars(row) for row in rows]})


def _use(folder: Path | None) -> None:
    """Add a zoo for this process and those it starts."""
    if folder is None:
        return
    others = os.environ.get(ZOO_VARIABLE, "").split(os.pathsep)
    mine = str(folder.resolve())
    os.environ[ZOO_VARIABLE] = os.pathsep.join([mine, *(o for o in others if o not in ("", mine))])


def _brief(card: ModelCard) -> dict[str, Any]:
    metrics = {task: metric.value for task, metric in card.metrics.items()}
    return {"name": card.name, "benchmark": card.benchmark, "size_class": card.size_class,
            "parameters": card.parameters, "metrics": metrics}  # fmt: skip


VERBS = (score,)

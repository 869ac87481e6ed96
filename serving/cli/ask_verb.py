"""The verb that asks a client node about one picture, and shows the answer: ask."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rich.text import Text

from cluster.deadline_classes import base_task
from cluster.errors import InputError, UnknownNameError
from cluster.providers import ray_driver
from models.tasks import find_task
from models.tasks.task import Kind
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.output import check_folder, save_result
from serving.cli.run_verbs import running_fleet
from serving.client.client import Client, ClientError, Prediction
from serving.errors import ServingError

__all__ = ["VERBS", "in_the_terminal", "limit_words", "side_by_side"]

EXAMPLE = re.compile(r"room(?::(\d{1,4}))?")
OURS = "`room` asks about one of ours"
SHOWN_COLUMNS = 76
GAP_PX = 4
LARGEST_PX = 96
"""of a side; smaller pictures are enlarged to about twice that"""
UPPER_HALF = "▀"

Picture = NDArray[np.uint8]


def ask(
    picture: Annotated[
        str, typer.Argument(help="PNG or JPEG; or `room`, `room:7`: a picture of the test split")
    ],
    task: Annotated[list[str], typer.Argument(help="tasks to answer about it")],
    client: Annotated[
        str | None, typer.Option(help="node that is asked; default: the first client")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder of the pictures")] = Path(
        "out/answers"
    ),
    show: Annotated[
        bool, typer.Option("--show/--no-show", help="draw the answer in the terminal")
    ] = True,
    as_json: Json = False,
) -> None:
    """Ask a client node about a picture, show the answers, and keep them as pictures.

    Of a room of the test split the true answer is known: it is drawn beside, with the score.
    """
    out = VerbOutput(as_json)
    check_folder(output)
    for name in task:
        find_task(base_task(name))  # raises what is near, if there is none
    body, labels = _read(picture)
    fleet = running_fleet(ray_driver.connect())
    urls = fleet.urls()
    node = client or next(iter(urls))
    if node not in urls:
        raise UnknownNameError(f"--client: no client {node!r}; clients: {', '.join(urls)}")
    found: dict[str, dict[str, Any]] = {}
    with Client(urls[node], token=fleet.door_token()) as door:
        begun_s = time.perf_counter()
        try:
            answers = door.infer(list(dict.fromkeys(task)), body)
        except ClientError as error:
            raise ServingError(f"{node}: {error}") from None
    waited_s = time.perf_counter() - begun_s
    in_force = fleet.in_force()
    deadlines_s = {} if in_force is None else in_force.plan.deadlines_s
    for name, answer in answers.items():
        told = found[name] = {
            "waited_s": waited_s,
            "deadline_s": deadlines_s.get(name),
            **_told(name, answer, labels),
        }
        drawn = _drawn(name, body, answer, labels)
        path = output / f"{name}.png"
        save_result(partial(_save, drawn), path)
        told["picture"] = str(path)
        out.say(_words(name, told))
        if show and out.is_terminal:
            out.write(in_the_terminal(drawn))
        out.wrote(path)
    out.result({"client": node, "answers": found})
    ray_driver.disconnect()


def _read(picture: str) -> tuple[bytes, Mapping[str, NDArray[Any]]]:
    """The bytes to send, and the true answers as far as they are known.

    Raises `InputError` for a file that is no picture.
    """
    example = EXAMPLE.fullmatch(picture)
    if example and not Path(picture).exists():
        from models.benchmarks.registry import open_benchmark

        rooms = open_benchmark("rooms", "test")
        number = int(example[1] or 0)
        if number >= len(rooms):
            raise InputError(f"{picture}: there are room:0 to room:{len(rooms) - 1}")
        sample = rooms.sample(number)
        stream = io.BytesIO()
        Image.fromarray(sample.image).save(stream, "PNG")
        return stream.getvalue(), sample.labels
    try:
        raw = Path(picture).read_bytes()
        Image.open(io.BytesIO(raw)).verify()
    except (UnidentifiedImageError, SyntaxError, ValueError):
        raise InputError(f"{picture}: neither a PNG nor a JPEG; {OURS}") from None
    except OSError as error:
        raise InputError(f"{picture}: {error.strerror or error}; {OURS}") from None
    return raw, {}


def _told(name: str, answer: Prediction, labels: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "tier": answer.tier,
        "node": answer.node,
        "model": answer.model,
        "batch_size": answer.batch_size,
        "bound_s": answer.bound_s,
        "score": None,
    }
    known = find_task(base_task(name))
    if known.kind is Kind.CATEGORY:
        likeliest = int(np.argmax(answer.values))
        told["class"] = known.classes[likeliest]
        told["chance"] = float(answer.values[likeliest])
    label = labels.get(base_task(name))
    if label is not None:
        from serving.traffic.scoring import score_answer

        told["score"] = score_answer(base_task(name), answer.values, label)
    return told


def _words(name: str, told: Mapping[str, Any]) -> str:
    score = "" if told["score"] is None else f", score {told['score']:.3f}"
    seen = f"{told['class']} ({told['chance']:.0%}), by " if "class" in told else ""
    return (
        f"[bold]{name}[/]: {seen}{told['model']} at {told['node']} ({told['tier']}), "
        f"{told['waited_s'] * 1e3:.0f} ms of at most {limit_words(told)}{score}"
    )


def limit_words(told: Mapping[str, Any]) -> str:
    """The deadline of a task or class that has one, which may be looser or stricter than what its
    path promises to every task."""
    bound = f"{told['bound_s'] * 1e3:.0f}"
    if told["deadline_s"] is None:
        return f"{bound} promised"
    return f"{told['deadline_s'] * 1e3:.0f}, its deadline (the path promises {bound})"


def _drawn(
    name: str, body: bytes, answer: Prediction, labels: Mapping[str, NDArray[Any]]
) -> Picture:
    """The picture, the answer, and the true one where it is known."""
    render = find_task(base_task(name)).render
    asked = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
    shown = [asked, render(answer.values)]
    label = labels.get(base_task(name))
    if label is not None:
        shown.append(render(label))
    return side_by_side(shown)


def side_by_side(pictures: list[Picture]) -> Picture:
    """(h, w, 3): all as high as the highest answer, about 192 pixels at least, gaps between."""
    high = max(picture.shape[0] for picture in pictures[1:])
    high *= max(1, round(2 * LARGEST_PX / high))
    parts: list[Picture] = []
    for picture in pictures:
        wide = max(1, round(picture.shape[1] * high / picture.shape[0]))
        scaled = Image.fromarray(picture).resize((wide, high), Image.Resampling.NEAREST)
        parts += [np.asarray(scaled), np.full((high, GAP_PX, 3), 255, np.uint8)]
    return np.concatenate(parts[:-1], axis=1)


def in_the_terminal(picture: Picture) -> Text:
    """The picture as coloured characters, each of which shows two pixels, one above the other."""
    height, width = picture.shape[:2]
    columns = min(SHOWN_COLUMNS, width)
    rows = max(2, 2 * round(height * columns / width / 2))
    small = np.asarray(Image.fromarray(picture).resize((columns, rows)))
    text = Text()
    for y in range(0, rows, 2):
        for x in range(columns):
            above, below = small[y, x].tolist(), small[y + 1, x].tolist()
            text.append(UPPER_HALF, f"{_hex(above)} on {_hex(below)}")
        text.append("\n")
    return text


def _hex(colour: list[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def _save(picture: Picture, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, "PNG")


VERBS = (ask,)

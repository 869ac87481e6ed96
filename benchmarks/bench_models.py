"""Model benchmark: rows M1 .. M6, written to out/bench/models.json and printed as a table.

Run with `make bench-models`. Accuracies are measured again through the runtime that serves, on
each card's own test split; their range is the 95 % interval. Times are medians over repetitions
on one pinned core, ranges over repetitions. A benchmark whose models are not in the zoo gets rows
that say so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from cluster.provenance import collect_provenance
from constant_answers import constant_answers, constant_scores
from domain_transfer import own_minus_other, transfer_matrix
from live_scores import live_scores
from models.benchmarks.registry import BENCHMARKS, open_benchmark
from models.benchmarks.splits.rendered import RenderedSplit, rendered_split
from models.curation.verify import scored_pictures
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import interval_half_width, per_image_scores
from models.tasks import find_task, tasks_of
from models.tasks.metrics import class_iou, confusion
from models.zoo.cards import ModelCard
from models.zoo.registry import find_model
from pooled_iou import pooled_iou
from serving_rows import print_rows, write_rows

CLIENT, EDGE, CLOUD = "small", "middle", "large"
CONSTANT_FROM = 1_000
"""training pictures whose mean label is the constant answer"""
RENDERED, TIMED = 40, 60
Row = dict[str, Any]


class _MissingError(Exception):
    """A row cannot be measured, and why."""


def row(
    identity: str, what: str, value: float, unit: str, n: int, spread: float | tuple[float, float]
) -> Row:
    """One row; `spread` is a half-width or the range."""
    low, high = (value - spread, value + spread) if isinstance(spread, float) else spread
    return {
        "id": identity, "what": what, "value": value, "unit": unit, "n": n, "spread": [low, high],
    }  # fmt: skip


def card_of(benchmark: str, size_class: str, subset: str = "all") -> ModelCard:
    """The card of a model of the zoo."""
    try:
        return find_model(f"{benchmark}-{size_class}-{subset}")
    except KeyError:
        raise _MissingError(f"{benchmark}-{size_class}-{subset} is not in the zoo") from None


@cache
def pictures_of(name: str) -> RenderedSplit:
    """The test split of a model's card."""
    return scored_pictures(find_model(name), None)


@cache
def scores_of(name: str) -> dict[str, np.ndarray]:
    """Scores of every test picture by task."""
    print(f"scoring {name}", flush=True)
    runtime = ModelRuntime.load(find_model(name))
    try:
        return per_image_scores(runtime, pictures_of(name))
    finally:
        runtime.close()


def accuracy_of_the_edge() -> list[Row]:
    """M1: the edge's all-task model of `rooms` beside a constant answer."""
    card = card_of("rooms", EDGE)
    size = (card.preprocessing.height, card.preprocessing.width)
    train = rendered_split(open_benchmark("rooms", "train", size, CONSTANT_FROM))
    constant = constant_scores(train, pictures_of(card.name))
    rows = []
    for task, values in scores_of(card.name).items():
        rows += [
            row(f"M1.{task}", f"{card.name}: {task}", float(values.mean()), "score", len(values),
                interval_half_width(values)),
            row(f"M1.{task}.constant", f"constant answer: {task}", constant[task], "score",
                len(values), 0.0),
        ]  # fmt: skip
    runtime = ModelRuntime.load(card)
    pooled, interval = pooled_iou(runtime, pictures_of(card.name), "segmentation")
    runtime.close()
    labels = pictures_of(card.name).labels["segmentation"]
    what = f"{card.name}: segmentation, all pictures' pixels together"
    rows.append(row("M1.segmentation.pooled", what, pooled, "score", len(labels), interval))
    answer = constant_answers(train)["segmentation"]
    classes = len(find_task("segmentation").classes)
    pairs_kk = sum(confusion(answer, label, classes) for label in labels)
    floor = float(class_iou(np.asarray(pairs_kk)).mean())
    rows.append(
        row("M1.segmentation.pooled.constant", "constant answer: the same", floor, "score",
            len(labels), 0.0)
    )  # fmt: skip
    return rows


def ladder(benchmark: str) -> list[Row]:
    """M2: cloud less client class, mean over tasks."""
    top, bottom = card_of(benchmark, CLOUD), card_of(benchmark, CLIENT)
    gains, variance = [], 0.0
    for task in tasks_of(benchmark):
        high, low = scores_of(top.name)[task], scores_of(bottom.name)[task]
        gains.append(float(high.mean() - low.mean()))
        variance += (interval_half_width(high) ** 2) + (interval_half_width(low) ** 2)
    what = f"{top.name} - {bottom.name}, mean over tasks"
    half = float(variance**0.5) / len(gains)
    return [row(f"M2.{benchmark}", what, statistics.mean(gains), "score", len(gains), half)]


def transfer() -> list[Row]:
    """M3: single-domain models at home and elsewhere."""
    cards = [card_of("domains", CLIENT, task) for task in tasks_of("domains")]
    accuracy_os = transfer_matrix(cards, pictures_of(cards[0].name))
    count = len(cards)
    each = [
        accuracy_os[o, o] - (accuracy_os[o].sum() - accuracy_os[o, o]) / (count - 1)
        for o in range(count)
    ]
    what = "single-domain client models: accuracy at home - elsewhere"
    return [
        row("M3", what, own_minus_other(accuracy_os), "accuracy", count, (min(each), max(each)))
    ]


def live(benchmark: str, images: int) -> list[Row]:
    """M4: metrics through the HTTP path less those of the same pictures offline."""
    card = card_of(benchmark, CLIENT)
    print(f"asking {card.name} over HTTP", flush=True)
    served = live_scores(card, pictures_of(card.name), images)
    rows = []
    for task, values in served.items():
        offline = scores_of(card.name)[task][:images]
        apart = np.abs(values - offline)
        what = f"{card.name}: {task} over HTTP - offline; range over pictures"
        rows.append(
            row(f"M4.{task}", what, abs(float(values.mean() - offline.mean())), "score",
                len(values), (0.0, max(float(apart.max()), 0.0)))
        )  # fmt: skip
    return rows


def rendering(benchmark: str, repetitions: int) -> list[Row]:
    """M5: one picture with its labels, one core."""
    opened = open_benchmark(benchmark, "val")
    opened.sample(0)

    def once() -> float:
        begun_s = time.process_time()
        for index in range(RENDERED):
            opened.sample(index)
        return 1e3 * (time.process_time() - begun_s) / RENDERED

    what = f"CPU time to render a picture of {benchmark} with its labels"
    return [_timed(f"M5.{benchmark}", what, once, repetitions)]


def forward(benchmark: str, repetitions: int) -> list[Row]:
    """M6: the client class's all-task model at batch 1."""
    card = card_of(benchmark, CLIENT)
    runtime = ModelRuntime.load(card, max_batch=1)
    picture = np.asarray(pictures_of(card.name).image_nhw3[:1])

    def once(clock: Callable[[], float]) -> float:
        spent_s = []
        for _ in range(TIMED):
            begun_s = clock()
            runtime.run(picture)
            spent_s.append(clock() - begun_s)
        return 1e3 * statistics.median(spent_s)

    once(time.perf_counter)
    what = f"{card.name}, one core, batch 1"
    try:
        return [
            _timed(f"M6.{benchmark}", what, lambda: once(time.perf_counter), repetitions),
            # What other processes of the machine do not lengthen.
            _timed(
                f"M6.{benchmark}.cpu", f"{what}: CPU time",
                lambda: once(time.process_time), repetitions,
            ),
        ]  # fmt: skip
    finally:
        runtime.close()


def _timed(identity: str, what: str, once: Callable[[], float], repetitions: int) -> Row:
    found = [once() for _ in range(repetitions)]
    return row(identity, what, statistics.median(found), "ms", len(found), (min(found), max(found)))


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/models.json"))
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--images", type=int, default=200, help="asked over HTTP, by task (M4)")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parts: list[tuple[str, Callable[[], list[Row]]]] = []
    for name in BENCHMARKS:
        # The times first: nothing that was computed before warms or slows them.
        parts.append((f"M5.{name}", partial(rendering, name, options.repetitions)))
        parts.append((f"M6.{name}", partial(forward, name, options.repetitions)))
    parts.append(("M1", accuracy_of_the_edge))
    parts += [(f"M2.{name}", partial(ladder, name)) for name in BENCHMARKS]
    parts.append(("M3", transfer))
    parts += [(f"M4.{name}", partial(live, name, options.images)) for name in BENCHMARKS]
    rows: list[Row] = []
    for identity, part in parts:
        try:
            rows += part()
        except _MissingError as missing:
            rows.append(
                {"id": identity, "what": "not measured", "value": None, "unit": "", "n": 0,
                 "error": str(missing)}
            )  # fmt: skip
    rows.sort(key=lambda found: found["id"])
    provenance = collect_provenance("make bench-models", packages=("torch", "timm", "numpy"))
    write_rows(options.out, provenance, rows)
    print_rows(rows)


if __name__ == "__main__":
    main()

"""The device runtime: answers in the tasks' form, batches of any size, honest cards, errors."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark.structures import ParameterSet
from PIL import Image

from models.benchmarks.real.files import read_picture
from models.benchmarks.splits.rendered import RenderedSplit
from models.networks.architectures import find_architecture
from models.networks.multi_task import build_network
from models.runtime.cpu_engine import Serving
from models.runtime.fitting import fit
from models.runtime.image_bodies import decode_image
from models.runtime.model_runtime import ModelRuntime
from models.runtime.preprocessing import normalise
from models.runtime.resample import nearest
from models.scoring.score import per_image_scores
from models.tasks import find_task, tasks_of
from models.zoo.cards import ModelCard, Preprocessing
from models.zoo.checkpoint import CheckpointError
from models.zoo.registry import find_model, list_models


@pytest.fixture(scope="module")
def runtime() -> ModelRuntime:
    return ModelRuntime.load(find_model("rooms-small-all"), max_batch=8)


def test_answers_have_the_form_of_the_tasks(
    runtime: ModelRuntime, few_test_images: RenderedSplit
) -> None:
    for batch in (1, 3, 8):
        answers = runtime.run(np.asarray(few_test_images.image_nhw3[:batch]))
        assert list(answers) == list(tasks_of("rooms"))
        for name, answer in answers.items():
            assert answer.dtype == find_task(name).answer_dtype
            assert answer.shape == (batch, *find_task(name).answer_shape(96, 96))
    assert runtime.weights_bytes > 4 * runtime.card.parameters


def test_a_read_only_batch_is_answered_without_a_warning(
    runtime: ModelRuntime, few_test_images: RenderedSplit
) -> None:
    images = np.array(few_test_images.image_nhw3[:2])
    images.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runtime.run(images)["depth"].shape == (2, 96, 96)


def test_an_image_gets_the_same_answer_in_any_batch(
    runtime: ModelRuntime, few_test_images: RenderedSplit
) -> None:
    images = np.asarray(few_test_images.image_nhw3[:8])
    together = runtime.run(images)
    alone = runtime.run(images[5:6])
    for task, answer in alone.items():
        difference = np.abs(answer[0].astype(float) - together[task][5].astype(float))
        assert (difference <= (0 if task == "segmentation" else 1)).mean() > 0.999


def one_of_each_size() -> list[ParameterSet]:
    """All models; those of a benchmark and size class of which there is one already are slow."""
    seen: set[tuple[str, str]] = set()
    found = []
    for card in list_models():
        kind = (card.benchmark, card.size_class)
        marks = [pytest.mark.slow] if kind in seen else []
        found.append(pytest.param(card, id=card.name, marks=marks))
        seen.add(kind)
    return found


@pytest.mark.parametrize("card", one_of_each_size())
def test_a_model_of_the_zoo_answers_as_its_card_says(
    card: ModelCard, few_of: Callable[[str], RenderedSplit]
) -> None:
    split = few_of(card.benchmark)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start = time.process_time()
        loaded = ModelRuntime.load(card)
        load_s = time.process_time() - start
        scores = per_image_scores(loaded, split)
    size = (card.preprocessing.height, card.preprocessing.width)
    images = np.asarray(split.image_nhw3[:3])
    answers, again = loaded.run(images), loaded.run(images)
    assert tuple(answers) == card.tasks
    for name, answer in answers.items():
        assert answer.dtype == find_task(name).answer_dtype
        assert answer.shape == (3, *find_task(name).answer_shape(*size))
        assert np.array_equal(answer, again[name])
    loaded.close()
    for task, metric in card.metrics.items():
        # The card's interval widened to a few images, at four instead of two sigmas.
        slack = 2 * metric.half_width * (metric.images / len(scores[task])) ** 0.5
        assert scores[task].mean() == pytest.approx(metric.value, abs=slack)
    assert load_s < 6  # measured .5 to 1.5 s


def test_serving_preprocesses_as_training_does(few_test_images: RenderedSplit) -> None:
    card = find_model("rooms-small-all")
    network = build_network(find_architecture("rooms", "small"), card.tasks)
    serving = Serving(network, card.tasks, card.preprocessing)
    seen = []
    serving.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.from_numpy(np.array(few_test_images.image_nhw3[:2]))
    with torch.inference_mode():
        serving(image)
    trained_on = normalise(image, card.preprocessing.mean, card.preprocessing.std)
    assert torch.equal(seen[0], trained_on)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.zeros((1, 96, 96, 4), np.uint8), r"shape \(b, 96, 96, 3\), got uint8 \(1, 96, 96, 4\)"),
        (np.zeros((1, 0, 96, 3), np.uint8), "1 to 8388608 pixels, got 0 x 96"),
        (np.zeros((1, 96, 96, 3), np.float32), "got float32"),
        (np.zeros((96, 96, 3), np.uint8), r"got uint8 \(96, 96, 3\)"),
        (np.zeros((9, 96, 96, 3), np.uint8), "1 to 8 pictures a batch, got 9"),
        (np.zeros((0, 96, 96, 3), np.uint8), "got 0"),
    ],
)
def test_a_wrong_batch_is_refused(runtime: ModelRuntime, images: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        runtime.run(images)


def test_another_size_is_fitted_as_in_training_and_answered_in_its_own(
    runtime: ModelRuntime,
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 60, 130, 3)).astype(np.uint8)
    answers = runtime.run(pictures)
    fitted = runtime.run(fit(pictures, runtime.card.preprocessing))
    for name, answer in answers.items():
        assert answer.shape == (2, *find_task(name).answer_shape(60, 130))
        assert np.array_equal(nearest(answer, (96, 96)).shape, fitted[name].shape)
        assert np.array_equal(answer[:, 30, 65], fitted[name][:, 48, 48])


class Same(torch.nn.Module):
    """A network of one task, whose map is what it is fed."""

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor]:
        return (picture,)


def keep_maps(
    serving: Serving, seen: list[torch.Tensor], batch: np.ndarray
) -> tuple[np.ndarray, ...]:
    """An engine's run that keeps what the network is fed; its answers are all 0."""
    seen.extend(serving.maps(torch.from_numpy(batch)))
    return (np.zeros(batch.shape[:3], np.float16),)


def test_training_and_serving_feed_the_network_the_same_pixels(tmp_path: Path) -> None:
    """From a file on disk, as a data set is read, and from its bytes, as a door gets them."""
    card = find_model("rooms-small-depth")
    size = (card.preprocessing.height, card.preprocessing.width)
    noise = np.random.default_rng(1).integers(0, 256, (75, 140, 3)).astype(np.uint8)
    for name in ("picture.jpg", "picture.png"):
        path = tmp_path / name
        Image.fromarray(noise).save(path)
        trained_on = normalise(
            torch.from_numpy(read_picture(path, size)[None]),
            card.preprocessing.mean,
            card.preprocessing.std,
        )
        served = ModelRuntime.load(card, max_batch=1)
        seen: list[torch.Tensor] = []
        serving = Serving(Same(), card.tasks, card.preprocessing)
        served._engine.run = partial(keep_maps, serving, seen)  # type: ignore[method-assign]
        # The door decodes to the size of the queries, here the file's own; the node fits it.
        asked = Preprocessing(height=75, width=140, mean=(0, 0, 0), std=(1, 1, 1))
        served.run(decode_image(path.read_bytes(), asked)[None])
        served.run(decode_image(path.read_bytes(), card.preprocessing)[None])
        assert len(seen) == 2
        assert all(torch.equal(one, trained_on) for one in seen)


def test_a_wrong_device_or_card_is_refused() -> None:
    card = find_model("rooms-small-all")
    with pytest.raises(ValueError, match="devices: cpu, cuda:0"):
        ModelRuntime.load(card, device="gpu")
    with pytest.raises(ValueError, match="this machine has"):
        ModelRuntime.load(card, device="cuda:99")
    with pytest.raises(CheckpointError, match="not a rooms-small-all"):
        ModelRuntime.load(card.model_copy(update={"tasks": ("depth",)}))

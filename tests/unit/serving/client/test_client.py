"""The Python client, plain and asynchronous, against a real door; and the page that explains it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serving.client.client import (
    AsyncClient,
    BadRequestError,
    Client,
    DeadlineError,
    NotServedHereError,
    RefusedHereError,
    UnauthorisedError,
    UnreachableError,
)
from serving.client.wire import Prediction
from serving.ingress.access import DoorConfig
from serving.system import Answer, Outcome, Query
from serving.traffic.live_system import HttpSystem
from support.open_door import SIZE, TASKS, Served, picture, serve_node
from support.paths import ROOT

TOKEN = "a token of 16 signs or more"
PIXELS = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(SIZE, SIZE, 3)
PAGE = ROOT / "docs" / "protocol.md"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node(DoorConfig(token=TOKEN)) as door:
        yield door


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.url, token=TOKEN, client_id="tests") as client:
        yield client


def test_pictures_and_arrays_become_predictions(client: Client) -> None:
    for image in (picture("png"), picture("jpeg"), np.full((SIZE, SIZE, 3), 7, np.uint8)):
        depth = client.infer("depth", image)
        assert depth.values.dtype == np.float16
        assert depth.values.tolist() == [[7.0] * SIZE] * SIZE
        assert (depth.task, depth.tier, depth.node, depth.model) == (
            "depth",
            "client",
            "client",
            "m",
        )
        assert (depth.plan_version, depth.batch_size, depth.bound_s) == (3, 1, 0.2)
        assert depth.timing.compute_s > 0


def test_several_tasks_and_several_images(client: Client) -> None:
    for image in (picture(), PIXELS):
        found = client.infer(["segmentation", "depth"], image)
        assert list(found) == ["segmentation", "depth"]
        assert found["segmentation"].values.shape == (SIZE, SIZE)
    stack = np.stack([PIXELS, PIXELS + 1, PIXELS + 2])
    found = client.infer(("depth", "segmentation", "depth"), stack)
    assert found["depth"].values.tolist() == stack[..., 0].astype(np.float16).tolist()
    assert found["segmentation"].values.tolist() == stack[..., 1].tolist()
    assert client.infer("depth", stack).values.shape == (3, SIZE, SIZE)


def test_health_metadata_and_statistics(client: Client) -> None:
    assert client.live()
    assert client.ready()
    assert client.ready("depth")
    assert not client.ready("normals")
    assert client.server().tasks == TASKS
    assert client.server().plan_version == 3
    model = client.model("depth")
    assert model.image.shape == (-1, SIZE, SIZE, 3)
    assert model.outputs[0].dtype == np.float16
    before = client.statistics()["segmentation"]
    client.infer("segmentation", PIXELS)
    after = client.statistics()["segmentation"]
    assert (after.answered - before.answered, after.images - before.images) == (1, 1)
    assert after.mean_s >= after.mean_compute_s > 0


def test_what_is_no_answer_is_raised_by_kind(client: Client, served: Served) -> None:
    with pytest.raises(RefusedHereError, match="no link to edge") as refused:
        client.infer("edges", PIXELS)
    assert (refused.value.reason, refused.value.retry_after_s) == ("no_way", 1.0)
    with pytest.raises(NotServedHereError, match="no onloaded model"):
        client.infer(["depth", "normals"], PIXELS)
    with pytest.raises(NotServedHereError, match="there is no task 'dpeth'"):
        client.infer("dpeth", PIXELS)
    with pytest.raises(BadRequestError, match="expected an image of 4 x 4"):
        client.infer("depth", picture(size=8))
    with Client(served.url) as stranger, pytest.raises(UnauthorisedError, match="Bearer"):
        stranger.infer("depth", PIXELS)
    with Client("http://127.0.0.1:9") as nobody:
        assert not nobody.live()
        with pytest.raises(UnreachableError, match="ConnectError"):
            nobody.server()


@pytest.mark.parametrize(
    ("tasks", "image", "words"),
    [
        ("depth", b"GIF89a", "expected the bytes of a PNG or a JPEG"),
        ("depth", PIXELS.astype(np.float32), "expected an array of uint8, got float32"),
        ([], PIXELS, "expected a task"),
        ("all", PIXELS, "expected a task, or a list of tasks by name"),
    ],
)
def test_what_cannot_be_sent_is_not(
    client: Client, tasks: str | list[str], image: bytes | np.ndarray, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        client.infer(tasks, image)


def test_deadlines_and_withdrawn_queries_on_an_event_loop() -> None:
    async def scenario(served: Served) -> tuple[list[Prediction | BaseException], int, list[str]]:
        def arrived() -> bool:
            return served.call(lambda: served.node.snapshot().arrived).get("depth", 0) == 7

        async with AsyncClient(served.url, client_id="tests") as client:
            assert await client.live()
            assert await client.ready("depth")
            assert (await client.server()).name == "client"
            assert (await client.model("all")).name == "all"
            asked = [asyncio.ensure_future(client.infer("depth", PIXELS)) for _ in range(6)]
            late = asyncio.ensure_future(client.infer("depth", PIXELS, deadline_s=0.05))
            while not await asyncio.to_thread(arrived):
                await asyncio.sleep(0.01)
            asked[-1].cancel()
            found = await asyncio.gather(*asked, late, return_exceptions=True)
            while (counted := (await client.statistics())["depth"]).failed < 2:
                await asyncio.sleep(0.01)
            both = await client.infer(["depth", "segmentation"], PIXELS, request_id="q")
            return found, counted.answered, list(both)

    with serve_node(pass_s=0.3) as served:
        (*answers, withdrawn, late), answered, both = asyncio.run(scenario(served))
    shapes = [answer.values.shape for answer in answers if isinstance(answer, Prediction)]
    assert shapes == [(SIZE, SIZE)] * len(answers)
    assert isinstance(withdrawn, asyncio.CancelledError)
    assert isinstance(late, DeadlineError)
    assert (answered, both) == (5, ["depth", "segmentation"])


def test_the_driver_sends_deadlines_and_asks_for_several_tasks(served: Served) -> None:
    async def scenario() -> tuple[dict[str, Answer], dict[str, Answer], Answer]:
        async with HttpSystem({"client": served.url}, token=TOKEN) as live:
            query = Query("client", "depth", picture(), within_s=5.0)
            hopeless = Query("client", "depth", picture(), within_s=1e-6)
            return (
                await live.send_all(query, ("depth", "segmentation")),
                await live.send_all(query, ("depth", "normals")),
                await live.send(hopeless),
            )

    both, unserved, hopeless = asyncio.run(scenario())
    assert {task: answer.outcome for task, answer in both.items()} == {
        "depth": Outcome.ANSWERED, "segmentation": Outcome.ANSWERED,
    }  # fmt: skip
    assert {answer.reason for answer in unserved.values()} == {"not_served"}
    assert (hopeless.outcome, hopeless.reason) == (Outcome.SHED, "deadline")


def test_the_example_of_the_documentation_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    room = tmp_path / "room.png"
    room.write_bytes(picture())
    with serve_node() as served:
        code = example.replace("http://127.0.0.1:PORT", served.url)
        code = code.replace('"room.png"', repr(str(room))).replace('"normals"', '"segmentation"')
        exec(compile(code, "protocol.md", "exec"), {})
    assert "client" in capsys.readouterr().out

"""What nodes in one process log: each event once, with the name of the node that it happened to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import numpy as np
import pytest

from serving.errors import RefusedError
from serving.node.links.messages import AskOutcome
from serving.node.links.peer_connection import UplinkTimeouts
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable
from support.log_records import error_of, node_of
from support.node_fakes import ONLY_EDGE, FakeRuntime, hierarchy, image, models, put_in_force

pytestmark = pytest.mark.real_time

HASTY = UplinkTimeouts(
    answer_s=1.0, silence_s=0.3, beat_s=0.05, connecting_s=0.3, queue_s=0.2, again_s=0.02
)


Said = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """Reads the lines of a node so far, as (level, text), of which the text has some word."""
    caplog.set_level(logging.DEBUG, "serving")

    def read(node: str, word: str = "") -> list[tuple[str, str]]:
        return [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if node_of(record) == node and word in record.getMessage()
        ]

    return read


async def ask(client: NodeServer, count: int = 1) -> None:
    for _ in range(count):
        try:
            await client.answer("depth", image(1))
        except RefusedError:
            continue


def test_every_line_of_a_node_bears_its_name(said: Said, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            await ask(client, 6)

    asyncio.run(scenario())
    lines = [record for record in caplog.records if record.name.startswith("serving.")]
    assert {node_of(record) for record in lines} == {"client", "edge", "cloud"}


def test_loads_and_unloads_are_logged_once_with_seconds_and_bytes(said: Said) -> None:
    async def scenario() -> None:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            await servers["client"].load(("one",))
            await client.retire(2, frozenset())

    asyncio.run(scenario())
    (loaded,) = said("client", "loaded one")[:1]
    assert loaded[0] == "INFO"
    assert loaded[1].startswith("loaded one: ")
    assert loaded[1].endswith(" s, 4 bytes")
    assert [text.split(":")[0] for _, text in said("client", "loaded")] == [
        "loaded one", "unloaded one",
    ]  # fmt: skip
    assert len(said("edge", "loaded two")) == 1


def test_a_model_that_cannot_be_loaded_is_an_error_with_its_traceback(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with hierarchy(models()) as (client, _):
            with pytest.raises(KeyError):
                await client.load(("none",))

    asyncio.run(scenario())
    assert said("client", "failed to load") == [("ERROR", "model none failed to load")]
    (record,) = [found for found in caplog.records if found.levelname == "ERROR"]
    assert error_of(record) is KeyError


def test_a_plan_is_logged_with_its_version_and_only_when_it_is_new(said: Said) -> None:
    async def scenario() -> None:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, version=4)
            client.route(RouteTable(4, ONLY_EDGE))
            client.route(RouteTable(3, {}))

    asyncio.run(scenario())
    assert said("client", "plan version") == [("INFO", "follows plan version 4; ways: depth: 3")]


def test_a_device_that_fails_batch_after_batch_is_one_traceback(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            runtimes["two"].fails = True
            await ask(client, 30)
            runtimes["two"].fails = False
            await ask(client)

    asyncio.run(scenario())
    assert said("edge", "failed") == [
        ("ERROR", "model two failed on a batch of 1 images"),
        ("WARNING", "the device answers again, after 30 failed batches"),
    ]
    assert said("client", "failed on a batch") == []
    (record,) = [found for found in caplog.records if found.levelname == "ERROR"]
    assert error_of(record) is RuntimeError
    assert len(said("client", "depth was answered by client after device_failed of edge")) == 30


def test_a_runtime_with_too_few_answers_fails_its_batch_and_nothing_else(said: Said) -> None:
    class Short(FakeRuntime):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            answers = super().run(images)
            return {task: rows[:-1] for task, rows in answers.items()} if images.any() else answers

    async def scenario() -> int:
        async with hierarchy(models() | {"two": Short(2)}) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            await ask(client, 3)
            return (await client.answer("depth", image(1))).forwarded.served.batch_size

    assert asyncio.run(scenario()) == 1
    assert len(said("edge", "failed on a batch")) == 1


def test_a_fault_in_the_nodes_own_code_is_logged_and_its_query_answered_elsewhere(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an answer the node below would wait for its time-out."""

    async def broken(*_: object) -> list[AskOutcome]:
        raise ZeroDivisionError("a bug")

    async def scenario() -> str:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            servers["edge"]._peers._handler = broken
            return (await client.answer("depth", image(1))).target.node

    assert asyncio.run(scenario()) == "client"
    assert said("edge", "failed") == [("ERROR", "a query of a node below failed")]
    (record,) = [found for found in caplog.records if found.levelname == "ERROR"]
    assert error_of(record) is ZeroDivisionError


def test_a_lost_link_and_its_return_are_one_line_each(said: Said) -> None:
    async def scenario() -> None:
        async with hierarchy(models(), timeouts=HASTY) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            await ask(client)
            servers.kill("edge")
            await asyncio.sleep(0.05)
            for _ in range(20):
                await ask(client)
                await asyncio.sleep(0.02)
            await servers.start("edge")
            await servers["edge"].load(("two",))
            await asyncio.sleep(0.1)
            await ask(client, 3)

    asyncio.run(scenario())
    links = [
        line
        for word in ("the link", "connect")
        for line in said("client", word)
        if "edge" in line[1]
    ]
    assert [level for level, _ in links] == ["WARNING", "INFO", "WARNING", "INFO"]
    lost, first, unreachable, again = (text for _, text in links)
    assert lost == "lost the link to edge: it went away; queries on it: 0"
    assert first.startswith("connected to edge at 127.0.0.1:")
    assert unreachable.startswith("cannot connect to edge: ")
    assert " again, after 0." in again


def test_a_silent_peer_is_given_up_with_the_reason(said: Said) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(1)
            writer.write(b"\x00\x00\x00\x02\x91\x01")  # welcome, and then nothing
            await asyncio.sleep(60)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()

    async def scenario() -> None:
        async with hierarchy(models(), timeouts=HASTY) as (client, servers):
            server = await asyncio.start_server(mute, "127.0.0.1", 0)
            servers.ports["edge"] = server.sockets[0].getsockname()[1]
            await put_in_force(servers, routes=ONLY_EDGE)
            await ask(client)
            server.close()

    asyncio.run(scenario())
    assert said("client", "lost the link") == [
        ("WARNING", "lost the link to edge: no sign of life for 0.3 s; queries on it: 1")
    ]


def test_strangers_and_refused_frames_are_warnings_of_the_node_they_came_to(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.node.links.peer_server.GREETING_S", 0.05)

    async def scenario() -> None:
        async with hierarchy(models()) as (_, servers):
            for sent in (b"", b"\x00\x00\x00\x02\x91\x01"):
                _, writer = await asyncio.open_connection("127.0.0.1", servers.ports["edge"])
                writer.write(sent)
                await asyncio.sleep(0.15)
                writer.close()

    asyncio.run(scenario())
    stranger, refused = said("edge", "closed the connection")
    assert stranger[0] == refused[0] == "WARNING"
    assert stranger[1].endswith("no token within 0.05 s")
    assert refused[1].endswith("it did not show the cluster's token")


def test_a_refused_query_is_a_matter_of_debugging(said: Said) -> None:
    async def scenario() -> None:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, routes={})
            with pytest.raises(Exception, match="edges"):
                await client.answer("edges", image(1))

    asyncio.run(scenario())
    assert said("client", "refused") == [("DEBUG", "refused ('edges',): not_served")]


def test_a_node_that_stops_warns_of_nothing(said: Said, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            await ask(client, 3)
        await asyncio.sleep(0.05)

    asyncio.run(scenario())
    assert ("INFO", "the node stops") in said("edge")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

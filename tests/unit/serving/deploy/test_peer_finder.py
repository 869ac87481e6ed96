"""Finding a node again never holds up the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from serving.deploy.peer_finder import PeerFinder

pytestmark = pytest.mark.real_time


@dataclass(frozen=True)
class At:
    peer_port: int

    def peer_at(self, below: str) -> tuple[str, int]:
        assert below == "client"
        return "127.0.0.1", self.peer_port


class Controller:
    """Opens handles as slowly as `opening` lets it, and counts them."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.opening = threading.Event()
        self.opening.set()
        self.port = 7000
        self.fails = False

    def open(self, node: str) -> Callable[[], Awaitable[At]]:
        assert self.opening.wait(5)
        self.opened.append(node)

        async def ask() -> At:
            if self.fails:
                raise ConnectionError("the controller is away")
            return At(self.port)

        return ask


def test_the_loop_goes_on_while_the_controller_does_not_answer() -> None:
    controller = Controller()
    controller.opening.clear()

    async def scenario() -> float:
        finding = asyncio.ensure_future(PeerFinder("client", controller.open).find("edge"))
        longest_s = 0.0
        for _ in range(20):
            started_s = time.monotonic()
            await asyncio.sleep(0.005)
            longest_s = max(longest_s, time.monotonic() - started_s)
        assert not finding.done()
        controller.opening.set()
        assert await finding == ("127.0.0.1", 7000)
        return longest_s

    assert asyncio.run(scenario()) < 1.0  # it would be the five seconds that opening waits


def test_a_handle_is_kept_and_asked_again_for_a_restarted_node() -> None:
    controller = Controller()

    async def scenario() -> None:
        finder = PeerFinder("client", controller.open)
        assert await finder.find("edge") == ("127.0.0.1", 7000)
        controller.port = 7001
        assert await finder.find("edge") == ("127.0.0.1", 7001)
        assert await finder.find("cloud") == ("127.0.0.1", 7001)

    asyncio.run(scenario())
    assert controller.opened == ["edge", "cloud"]


def test_a_handle_that_fails_is_opened_anew() -> None:
    controller = Controller()

    async def scenario() -> None:
        finder = PeerFinder("client", controller.open)
        await finder.find("edge")
        controller.fails = True
        with pytest.raises(ConnectionError):
            await finder.find("edge")
        controller.fails = False
        await finder.find("edge")

    asyncio.run(scenario())
    assert controller.opened == ["edge", "edge"]

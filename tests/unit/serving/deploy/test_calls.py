"""A call on a node that is replaced meanwhile is made again, and no call waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from cluster.providers.state import ClusterError
from serving.deploy.calls import call_until_answered


class LostError(Exception):
    pass


class Node:
    """Loses the first `losses` calls with its process."""

    def __init__(self, losses: int = 0) -> None:
        self.losses = losses
        self.calls = 0

    async def answer(self) -> int:
        self.calls += 1
        if self.calls <= self.losses:
            raise LostError("the actor died\nunexpectedly")
        return self.calls


def call(node: Node, timeout_s: float = 5.0) -> int:
    return asyncio.run(
        call_until_answered(
            node.answer, "node edge gave no answer", LostError, timeout_s=timeout_s, again_s=0.01
        )
    )


def test_a_call_that_was_lost_is_made_again() -> None:
    assert call(Node(losses=3)) == 4


def test_a_node_that_stays_away_is_named_with_the_reason() -> None:
    node = Node(losses=10_000)
    with pytest.raises(
        ClusterError,
        match=r"node edge gave no answer within 0.1 s; its process was lost: the actor died unexp",
    ):
        call(node, timeout_s=0.1)
    assert node.calls > 2


def test_a_node_that_hangs_is_named() -> None:
    async def scenario() -> None:
        await call_until_answered(
            lambda: asyncio.sleep(60), "node edge gave no answer", LostError, timeout_s=0.05
        )

    with pytest.raises(ClusterError, match=r"^node edge gave no answer within 0.05 s$"):
        asyncio.run(scenario())


def test_what_the_node_itself_raises_is_not_tried_again() -> None:
    node = Node()

    async def fails() -> int:
        node.calls += 1
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        asyncio.run(call_until_answered(fails, "node edge", LostError, timeout_s=1.0))
    assert node.calls == 1

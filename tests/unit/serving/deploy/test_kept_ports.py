"""A restarted node listens where it listened before, or elsewhere if that port is taken."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from serving.deploy.door_ports import DoorPorts
from serving.deploy.kept_ports import open_at


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(sockets: ExitStack, port: int = 0) -> int:
    made = sockets.enter_context(closing(socket.create_server(("127.0.0.1", port))))
    return int(made.getsockname()[1])


def free_port() -> int:
    with ExitStack() as stack:
        return listen(stack)


async def open_both(sockets: ExitStack, ports: DoorPorts) -> DoorPorts:
    """Two doors that listen, or none."""
    with ExitStack() as tried:
        opened = DoorPorts(listen(tried, ports.http), listen(tried, ports.grpc))
        sockets.push(tried.pop_all())
        return opened


def reopen(sockets: ExitStack, former: DoorPorts | None) -> DoorPorts:
    return asyncio.run(open_at(former, lambda ports: open_both(sockets, ports), "client-0"))


def test_a_node_keeps_its_ports(sockets: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    former = DoorPorts(free_port(), free_port())
    assert reopen(sockets, former) == former
    assert not caplog.records


@pytest.mark.parametrize("taken", ["http", "grpc"])
def test_only_the_door_whose_port_is_taken_moves_and_says_so(
    sockets: ExitStack, caplog: pytest.LogCaptureFixture, taken: str
) -> None:
    lost, kept = listen(sockets), free_port()
    former = DoorPorts(lost, kept) if taken == "http" else DoorPorts(kept, lost)
    opened = reopen(sockets, former)
    assert lost not in (opened.http, opened.grpc)
    assert (opened.grpc if taken == "http" else opened.http) == kept
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(lost) in record.getMessage()


def test_both_move_where_both_are_taken(sockets: ExitStack) -> None:
    former = DoorPorts(listen(sockets), listen(sockets))
    opened = reopen(sockets, former)
    assert {opened.http, opened.grpc}.isdisjoint({former.http, former.grpc})


def test_a_node_without_doors_takes_another_port_for_its_metrics(sockets: ExitStack) -> None:
    taken = listen(sockets)

    async def page(ports: DoorPorts) -> int:
        assert ports.grpc == 0
        return listen(sockets, ports.http)

    assert asyncio.run(open_at(DoorPorts(taken), page, "edge-0")) != taken


def test_a_new_node_takes_free_ports(sockets: ExitStack) -> None:
    assert reopen(sockets, None).http > 0


def test_where_free_ports_do_not_help_the_error_says_why() -> None:
    async def never(ports: DoorPorts) -> None:
        raise OSError(99, "Cannot assign requested address")

    for former in (None, DoorPorts(7000, 7001)):
        with pytest.raises(OSError, match="Cannot assign"):
            asyncio.run(open_at(former, never, "client-0"))

"""Callers that dawdle, break off, go away or come in thousands: nothing hangs, others are served.

Every test ends with the same count: answered + refused = sent.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import httpx
import numpy as np
import pytest
import uvloop

from serving.http.limits import Limits
from serving.ingress.access import DoorConfig
from support.open_door import SIZE, Served, picture, serve_node

pytestmark = pytest.mark.real_time

PROMPT = Limits(head_s=0.4, body_s=0.4, idle_s=1.0, write_s=0.4, pipelined=16)
PNG = {"content-type": "image/png"}
TASK = "/v2/models/depth/infer"


def infer(served: Served, timeout: float = 5.0) -> httpx.Response:
    return httpx.post(served.url + TASK, content=picture(), headers=PNG, timeout=timeout)


def request_bytes(
    task: str = "depth", body: bytes | None = None, length: int | None = None
) -> bytes:
    body = picture() if body is None else body
    head = (
        f"POST /v2/models/{task}/infer HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
        f"content-length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


def dial(served: Served, timeout_s: float = 5.0) -> socket.socket:
    caller = socket.create_connection(("127.0.0.1", served.http), timeout=timeout_s)
    caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return caller


def read_all(caller: socket.socket) -> bytes:
    """What comes until the door closes the connection."""
    found = bytearray()
    try:
        while chunk := caller.recv(65_536):
            found += chunk
    except ConnectionResetError:
        pass
    return bytes(found)


def cut_off(caller: socket.socket, drop: bytes, within_s: float) -> bool:
    """Whether the door ends the connection while `drop` is sent again and again."""
    ends_s = time.monotonic() + within_s
    try:
        while time.monotonic() < ends_s:
            caller.sendall(drop)
            time.sleep(0.02)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def counts(served: Served, task: str = "depth") -> tuple[int, int]:
    """(answered, failed) as the door counts them."""
    (entry,) = httpx.get(f"{served.url}/v2/models/{task}/stats").json()["model_stats"]
    stats = entry["inference_stats"]
    return stats["success"]["count"], stats["fail"]["count"]


def wait_for(check: Callable[[], bool], timeout_s: float = 5.0) -> None:
    ends_s = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < ends_s, "it did not come to that"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /v2/models/depth/infer HT", b" 408 "),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\nx-never-ending: 1", b" 408 "),
        (b"\r\n\r\n", b" 408 "),
        (request_bytes(length=10_000), b" 408 "),
        (b"", b""),
    ],
    ids=["half a request line", "half a head", "empty lines", "half a body", "nothing"],
)
def test_who_stops_half_way_is_told_and_cut_off(sent: bytes, status: bytes) -> None:
    with serve_node(DoorConfig(limits=PROMPT)) as served, closing(dial(served)) as caller:
        caller.sendall(sent)
        began_s = time.monotonic()
        assert infer(served).status_code == 200
        said = read_all(caller)
        assert time.monotonic() - began_s < 3
        assert said[:16].startswith(b"HTTP/1.1" + status) if status else said == b""
        assert counts(served) == (1, 0)


def test_a_head_in_drops_is_cut_off_in_time_too() -> None:
    """The slow loris: each byte is prompt, the head is never whole."""
    with serve_node(DoorConfig(limits=PROMPT)) as served, closing(dial(served)) as caller:
        caller.sendall(b"GET /v2 HTTP/1.1\r\n")
        began_s = time.monotonic()
        assert cut_off(caller, b"x-drop: 1\r\n", within_s=5)
        assert time.monotonic() - began_s < 3
        assert infer(served).status_code == 200


def test_a_slow_body_does_not_delay_others() -> None:
    limits = Limits(body_s=5.0)
    with serve_node(DoorConfig(limits=limits)) as served, closing(dial(served)) as caller:
        whole = request_bytes()
        caller.sendall(whole[:-20])
        for _ in range(5):
            assert infer(served, timeout=2).status_code == 200
        caller.sendall(whole[-20:])
        assert caller.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert counts(served) == (6, 0)


def test_a_body_longer_than_its_answer_waits_for_is_discarded() -> None:
    """The answer (413) goes out before the body has come; the connection ends soon after."""
    with serve_node(DoorConfig(limits=PROMPT)) as served, closing(dial(served, 10)) as caller:
        caller.sendall(request_bytes(length=Limits.body_bytes + 1))
        assert caller.recv(65_536).startswith(b"HTTP/1.1 413 ")
        assert infer(served).status_code == 200


def test_who_goes_away_takes_its_query_along_and_harms_no_other() -> None:
    """The device is busy for 0.5 s; of eight queries that wait, four callers leave."""
    with serve_node(pass_s=0.5) as served, ExitStack() as stack:
        before = served.model.images
        first = stack.enter_context(closing(dial(served)))
        first.sendall(request_bytes())
        wait_for(lambda: served.call(lambda: served.node.snapshot().arrived).get("depth") == 1)
        callers = [stack.enter_context(closing(dial(served))) for _ in range(8)]
        for caller in callers:
            caller.sendall(request_bytes())
        wait_for(lambda: served.call(lambda: served.node.snapshot().arrived)["depth"] == 9)
        for caller in callers[::2]:
            caller.close()
        for caller in (first, *callers[1::2]):
            assert caller.recv(65_536).startswith(b"HTTP/1.1 200 ")
        wait_for(lambda: sum(counts(served)) == 9)
        assert counts(served) == (5, 4)
        assert served.model.images - before == 5  # those who left cost the device nothing


def test_who_does_not_take_up_answers_is_cut_off() -> None:
    """Answers of 64 KiB pile up in the socket until it is full; then the door stops waiting."""
    page = b"GET /docs HTTP/1.1\r\nhost: x\r\n\r\n"
    with serve_node(DoorConfig(limits=Limits(write_s=0.4, pipelined=10_000))) as served:
        caller = socket.socket()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with closing(caller):
            caller.settimeout(10)
            caller.connect(("127.0.0.1", served.http))
            assert cut_off(caller, page * 100, within_s=10)
            assert infer(served).status_code == 200


def test_pipelined_requests_are_answered_in_order() -> None:
    with serve_node(DoorConfig(limits=PROMPT)) as served, closing(dial(served)) as caller:
        names = ["depth", "normals", "segmentation", "dpeth"] * 3
        caller.sendall(b"".join(request_bytes(name) for name in names))
        caller.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        said = read_all(caller)
        statuses = [int(part[1:4]) for part in said.split(b"HTTP/1.1")[1:]]
        assert statuses == [200, 404, 200, 404] * 3 + [200]


def test_who_runs_far_ahead_of_its_answers_is_cut_off() -> None:
    with serve_node(DoorConfig(limits=PROMPT), pass_s=0.2) as served:
        with closing(dial(served)) as caller:
            caller.sendall(request_bytes() * 100)
            assert read_all(caller).count(b"HTTP/1.1 200") <= 1
        assert infer(served).status_code == 200


@pytest.fixture
def files() -> Iterator[int]:
    """File descriptors that this process may open, as many as it is allowed to ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8_192 if hard == resource.RLIM_INFINITY else min(8_192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_idle_connections_leave_room_for_work(files: int) -> None:
    """Or as many as this process can hold both ends of."""
    with serve_node() as served, ExitStack() as stack:
        for number in range(min(2_000, (files - 512) // 2)):
            caller = stack.enter_context(closing(dial(served)))
            if number % 2:  # half of them are half way through a head
                caller.sendall(b"POST /v2/models/depth/infer HTTP/1.1\r\n")
        with httpx.Client() as client:
            for _ in range(20):
                asked = client.post(served.url + TASK, content=picture(), headers=PNG, timeout=5)
                assert asked.status_code == 200
        assert counts(served) == (20, 0)


def test_connections_beyond_the_limit_are_refused_and_come_back() -> None:
    with serve_node(DoorConfig(limits=Limits(connections=5))) as served, ExitStack() as stack:
        callers = [stack.enter_context(closing(dial(served))) for _ in range(5)]
        refused = stack.enter_context(closing(dial(served)))
        said = read_all(refused)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in said
        callers[0].close()
        wait_for(lambda: open_connection(served))
        assert infer(served).status_code == 200


def open_connection(served: Served) -> bool:
    try:
        return httpx.get(f"{served.url}/v2/health/live").status_code == 200
    except httpx.HTTPError:
        return False


def test_bodies_under_way_are_bounded_over_all_callers() -> None:
    limits = Limits(gathered_bytes=400_000)
    with serve_node(DoorConfig(limits=limits)) as served, ExitStack() as stack:
        half = request_bytes(body=b"x" * 150_000, length=200_000)
        holders = [stack.enter_context(closing(dial(served))) for _ in range(2)]
        for holder in holders:
            holder.sendall(half)
        time.sleep(0.3)
        refused = stack.enter_context(closing(dial(served)))
        refused.sendall(request_bytes(body=b"x" * 150_000, length=200_000))
        assert refused.recv(65_536).startswith(b"HTTP/1.1 503 ")
        assert infer(served).status_code == 200  # a body that comes at once takes no room
        for holder in holders:
            holder.sendall(b"x" * 50_000)
            assert holder.recv(65_536).startswith(b"HTTP/1.1 422 ")
        assert counts(served) == (1, 0)


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_no_turn_of_an_exchange_waits_for_a_delayed_acknowledgement(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Head and body in two sends, by a caller whose kernel holds the second back (Nagle)."""
    head, body = request_bytes().split(b"\r\n\r\n", 1)
    spent_s = []
    with serve_node(new_loop=new_loop) as served, closing(dial(served)) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        for _ in range(15):
            began_s = time.perf_counter()
            caller.sendall(head + b"\r\n\r\n")
            caller.sendall(body)
            said = bytearray()
            while b"\r\n\r\n" not in said or not said.endswith(b"\x00G" * 16):
                said += caller.recv(65_536)
            spent_s.append(time.perf_counter() - began_s)
    assert sorted(spent_s)[len(spent_s) // 4] < 0.03  # each such wait takes 0.04 s


def test_answered_and_refused_add_up_to_sent_under_a_mixed_crowd() -> None:
    """More than the node admits at once, every fifth caller hopeless, all at the same time."""
    crowd = 60
    with serve_node(pass_s=0.02, window_s=0.05) as served, ExitStack() as stack:
        callers = [stack.enter_context(closing(dial(served, 20))) for _ in range(crowd)]
        for number, caller in enumerate(callers):
            deadline = b"x-deadline-ms: 1\r\n" if number % 5 == 0 else b""
            caller.sendall(request_bytes().replace(b"host: x\r\n", b"host: x\r\n" + deadline))
        said = [caller.recv(65_536)[9:12] for caller in callers]
        assert set(said) <= {b"200", b"503"}
        assert said.count(b"200") + said.count(b"503") == crowd
        assert said.count(b"200") > 0
        answered, failed = counts(served)
        assert (answered, failed) == (said.count(b"200"), said.count(b"503"))


def test_an_answer_is_the_callers_own() -> None:
    """Queries of many connections share batches; each gets its own picture back."""
    with serve_node(pass_s=0.01) as served, ExitStack() as stack:
        callers = [stack.enter_context(closing(dial(served))) for _ in range(40)]
        for value, caller in enumerate(callers):
            whole = request_bytes(body=picture(value=value))
            caller.sendall(whole.replace(b"host: x\r\n", b"host: x\r\nconnection: close\r\n"))
        for value, caller in enumerate(callers):
            raw = read_all(caller)[-2 * SIZE * SIZE :]
            assert np.frombuffer(raw, "<f2").tolist() == [float(value)] * SIZE * SIZE


def test_a_connection_that_idles_after_an_answer_is_closed_in_silence() -> None:
    with serve_node(DoorConfig(limits=PROMPT)) as served, closing(dial(served)) as caller:
        caller.sendall(request_bytes())
        said = read_all(caller)
        assert said.count(b"HTTP/1.1") == 1
        assert said.startswith(b"HTTP/1.1 200 ")

"""Who may see the page and act from it: asked over ASGI, as a browser and as others would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field

import httpx
import pytest

from serving.watch.acts import READ_ONLY, Act, ActName, NoActs, Offer
from serving.watch.security import COOKIE, CSRF_HEADER
from serving.watch.server import WatchServer
from serving.watch.source import Replay


@dataclass
class NotedActs:
    """Offers everything and does nothing but note it."""

    done: list[Act] = field(default_factory=list)

    def offers(self) -> tuple[Offer, ...]:
        return tuple(Offer(name=name) for name in ActName)

    async def act(self, act: Act) -> str:
        self.done.append(act)
        return f"done: {act}"


def ask(
    server: WatchServer,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    *,
    cookie: bool = True,
) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=server.app)
        base = f"http://127.0.0.1:{server.port}"
        cookies = {COOKIE: server.keys.cookie} if cookie else {}
        async with httpx.AsyncClient(transport=transport, base_url=base, cookies=cookies) as client:
            return await client.request(method, path, headers=headers, content=body)

    return asyncio.run(go())


@pytest.fixture
def acts() -> NotedActs:
    return NotedActs()


@pytest.fixture
def server(replay: Replay, acts: NotedActs) -> Iterator[WatchServer]:
    with closing(WatchServer(replay, acts, "test")) as made:
        yield made


def of_the_page(server: WatchServer) -> dict[str, str]:
    return {
        "origin": f"http://127.0.0.1:{server.port}",
        "content-type": "application/json",
        CSRF_HEADER: server.keys.csrf,
    }


KILL = '{"name": "kill_node", "node": "edge-0"}'


def test_the_printed_address_gives_a_cookie_that_no_script_and_no_site_gets(
    server: WatchServer,
) -> None:
    path = server.address.partition(str(server.port))[2]
    answer = ask(server, "GET", path, cookie=False)
    assert answer.status_code == 200
    told = answer.headers["set-cookie"].lower()
    assert "httponly" in told
    assert "samesite=strict" in told


@pytest.mark.parametrize(
    "path",
    ["/", "/?token=wrong", "/?token=", "/api/about", "/api/frame", "/api/system", "/api/events"],
)
def test_without_the_token_nothing_is_shown(server: WatchServer, path: str) -> None:
    answer = ask(server, "GET", path, cookie=False)
    assert answer.status_code == 401
    assert "open the address that `testbed watch` printed" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/api/about", "/static/main.js", "/static/nothing.js", "/nowhere"]
)
def test_every_answer_of_ours_has_a_strict_content_policy(server: WatchServer, path: str) -> None:
    answer = ask(server, "GET", path)
    if path == "/nowhere":  # no handler of ours
        assert answer.status_code == 404
        return
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_has_no_inline_script_or_style(server: WatchServer) -> None:
    text = ask(server, "GET", "/").text
    assert "<style" not in text
    assert "style=" not in text
    assert "onclick" not in text
    assert (
        text.count("<script")
        == text.count('<script type="module" src="/static/main.js"></script>')
        == 1
    )
    system = ask(server, "GET", "/api/system").text
    assert "style=" not in system
    charts = ask(server, "GET", "/api/frame?at=30").json()["charts"]
    assert all("style=" not in drawing for drawing in charts.values())


def test_an_act_of_the_page_is_carried_out(server: WatchServer, acts: NotedActs) -> None:
    answer = ask(server, "POST", "/api/acts", of_the_page(server), KILL)
    assert answer.json() == {"done": "done: kill node edge-0"}
    assert acts.done == [Act(name=ActName.KILL_NODE, node="edge-0")]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://127.0.0.1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({CSRF_HEADER: "guess"}, 403),
        ({CSRF_HEADER: ""}, 403),
        ({"host": "evil.example"}, 401),
    ],
)
def test_an_act_from_elsewhere_is_refused(
    server: WatchServer, acts: NotedActs, changes: dict[str, str], status: int
) -> None:
    answer = ask(server, "POST", "/api/acts", {**of_the_page(server), **changes}, KILL)
    assert answer.status_code == status
    assert acts.done == []


def test_an_act_without_the_cookie_is_refused(server: WatchServer, acts: NotedActs) -> None:
    answer = ask(server, "POST", "/api/acts", of_the_page(server), KILL, cookie=False)
    assert answer.status_code == 401
    assert acts.done == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_nothing_acts_by_another_method(server: WatchServer, acts: NotedActs, method: str) -> None:
    for path in ("/api/acts", "/api/acts?name=kill_node&node=edge-0"):
        assert ask(server, method, path, of_the_page(server), KILL).status_code == 405
    assert acts.done == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{}", "name"),
        ('{"name": "kill_node"}', "needs a node"),
        (
            '{"name": "kill_node", "node": "edge-9"}',
            "no node is named 'edge-9'; did you mean edge-0?",
        ),
        ('{"name": "pause", "node": "edge-0"}', "takes no node"),
        (
            '{"name": "cut_link", "link": ["edge-0", "client-0"]}',
            "no link leads from edge-0 to client-0",
        ),
        ('{"name": "scale_load", "client": "client-0", "factor": 11}', "at most 10"),
        ('{"name": "scale_load", "client": "edge-0", "factor": 1}', "no client is named 'edge-0'"),
        ('{"name": "slow_link", "link": ["client-0", "edge-0"], "factor": 0.5}', "at least 1"),
        ('{"name": "explode"}', "name"),
        ("not json", "JSON"),
        ("[" * 3000, "JSON"),
        ('{"name": "pause", "more": "' + "x" * 5000 + '"}', "shorter"),
    ],
)
def test_what_is_no_act_is_refused_in_one_sentence(
    server: WatchServer, acts: NotedActs, body: str, words: str
) -> None:
    answer = ask(server, "POST", "/api/acts", of_the_page(server), body)
    assert answer.status_code in (400, 409, 413)
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert acts.done == []


def test_a_page_for_a_beamer_offers_nothing_and_does_nothing(replay: Replay) -> None:
    with closing(WatchServer(replay, NoActs(READ_ONLY), "test")) as server:
        about = ask(server, "GET", "/api/about").json()
        answer = ask(server, "POST", "/api/acts", of_the_page(server), KILL)
    assert set(about["acts"].values()) == {READ_ONLY}
    assert answer.status_code == 409
    assert READ_ONLY in answer.json()["error"]


@pytest.mark.parametrize("query", ["at=nan", "at=-1", "at=x", "at=1e99"])
def test_a_moment_that_is_none_is_refused(server: WatchServer, query: str) -> None:
    answer = ask(server, "GET", f"/api/frame?{query}")
    assert answer.status_code == 400
    assert "at: expected a number" in answer.json()["error"]


def test_files_outside_the_pages_own_are_not_served(server: WatchServer) -> None:
    for name in ("..%2fserver.py", "%2e%2e/server.py", "page.html", "refused.html"):
        assert ask(server, "GET", f"/static/{name}").status_code == 404

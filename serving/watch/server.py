"""The page over HTTP: its files, its frames as server-sent events, and its acts.

Nothing acts by GET. Every answer has the headers of `serving.watch.security`.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cluster.errors import InputError
from cluster.fault_words import first_fault
from serving.errors import RefusalReason, ServingError
from serving.report.colours import colour_css, reason_colour, task_colour
from serving.watch.acts import Act, WatchActs, check_act
from serving.watch.course_picture import draw_course
from serving.watch.frame import WatchFrame
from serving.watch.security import COOKIE, HEADERS, PageKeys
from serving.watch.source import WatchSource
from serving.watch.system_picture import draw_system, model_rows

__all__ = ["WatchServer"]

STATIC = files("serving.watch") / "static"
KINDS = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
SPEEDS = (1.0, 10.0)
MOST_ACT_BYTES = 4096
CHARTS_S = 1.0
"""between two drawings of a running system's charts, whose steps are as long"""
HOST = "127.0.0.1"
Endpoint = Callable[[Request], Awaitable[Response]]


class WatchPage:
    """The handlers of one page."""

    def __init__(self, source: WatchSource, acts: WatchActs, keys: PageKeys, title: str) -> None:
        self._source = source
        self._acts = acts
        self._keys = keys
        self._title = title
        self.ends = asyncio.Event()
        """set when the server ends, so that streams do"""
        self._closing: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """The paths that there are."""
        return [
            Route("/", self.page),
            Route("/static/{name}", self.static),
            Route("/api/about", self._guarded(self.about)),
            Route("/api/system", self._guarded(self.system)),
            Route("/api/frame", self._guarded(self.frame)),
            Route("/api/events", self._guarded(self.events)),
            Route("/api/acts", self._guarded(self.act), methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """The page; with the token in its address it gives the cookie."""
        host = request.headers.get("host", "")
        if host in self._keys.hosts and self._keys.opens(request.query_params.get("token")):
            response = HTMLResponse(_text("page.html"), headers=HEADERS)
            response.set_cookie(
                COOKIE, self._keys.cookie, httponly=True, samesite="strict", path="/"
            )
            return response
        refusal = self._keys.refusal(request.headers, request.cookies)
        if refusal:
            return HTMLResponse(
                _text("refused.html").replace("REFUSAL", refusal), 401, headers=HEADERS
            )
        return HTMLResponse(_text("page.html"), headers=HEADERS)

    async def static(self, request: Request) -> Response:
        """A file of the page; none of them is secret."""
        name = request.path_params["name"]
        if name == "colours.css":
            return Response(colour_css(), media_type="text/css", headers=HEADERS)
        known = {entry.name for entry in STATIC.iterdir()}
        suffix = name[name.rfind(".") :]
        if name not in known or suffix not in KINDS:
            return _refused(404, f"there is no {name}")
        return Response(_text(name), media_type=KINDS[suffix], headers=HEADERS)

    async def about(self, request: Request) -> Response:
        """What the page needs once: what is shown, and what may be done."""
        facts, recorded = self._source.facts, self._source.recorded
        return _json(
            {
                "title": self._title,
                "topology": facts.topology.name,
                "live": recorded is None,
                "end_s": None if recorded is None else recorded.end_s,
                "command": "" if recorded is None else recorded.command,
                "torn": "" if recorded is None else recorded.torn,
                "clients": [node.name for node in facts.topology.clients],
                "tasks": {task: task_colour(k) for k, task in enumerate(facts.tasks)},
                "reasons": {str(reason): reason_colour(reason) for reason in RefusalReason},
                "csrf": self._keys.csrf,
                "acts": {offer.name.value: offer.why_not for offer in self._acts.offers()},
            }
        )

    async def system(self, request: Request) -> Response:
        """The picture of nodes and links, without figures."""
        facts = self._source.facts
        rows = model_rows(facts, self._source.held_most())
        drawn = draw_system(facts, rows, narrow=request.query_params.get("layout") == "narrow")
        return Response(drawn, media_type="image/svg+xml", headers=HEADERS)

    async def frame(self, request: Request) -> Response:
        """The frame of one moment."""
        at_s = _number(request, "at", None, 0.0, 1e9)
        return _json(_shown(self._source.frame(at_s)))

    async def events(self, request: Request) -> Response:
        """Frames as server-sent events, until the recording or the server ends."""
        from_s = _number(request, "from", 0.0, 0.0, 1e9) or 0.0
        speed = _number(request, "speed", 1.0, *SPEEDS) or 1.0
        stream = self._stream(from_s, speed)
        return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)

    async def act(self, request: Request) -> Response:
        """Carry out an act, if it may be."""
        refusal = self._keys.act_refusal(request.headers)
        if refusal:
            return _refused(403, refusal)
        body = await request.body()
        if len(body) > MOST_ACT_BYTES:
            return _refused(413, "an act is shorter than that")
        try:
            act = Act.model_validate_json(body)
        except ValidationError as error:
            return _refused(400, f"no act: {first_fault(error)}")
        try:
            check_act(act, self._acts.offers(), self._source.facts.topology)
            done = await self._acts.act(act)
        except InputError as error:
            return _refused(409, str(error))
        except ServingError as error:
            return _refused(500, str(error))
        return _json({"done": done})

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint` for those that have the cookie."""

        async def guarded(request: Request) -> Response:
            refusal = self._keys.refusal(request.headers, request.cookies)
            if refusal:
                return _refused(401, refusal)
            try:
                return await endpoint(request)
            except InputError as error:
                return _refused(400, str(error))

        return guarded

    async def _stream(self, from_s: float, speed: float) -> AsyncIterator[str]:
        frames = self._source.frames(from_s, speed)
        ending = asyncio.ensure_future(self.ends.wait())
        coming: asyncio.Future[WatchFrame | None] | None = None
        try:
            yield "retry: 1000\n\n"
            loop, live, charts_from_s = (
                asyncio.get_running_loop(),
                self._source.recorded is None,
                0.0,
            )
            while True:
                coming = asyncio.ensure_future(anext(frames, None))
                await asyncio.wait({coming, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    return
                frame = coming.result()
                if frame is None:
                    yield "event: end\ndata: {}\n\n"
                    return
                now_s = loop.time()
                charted = not live or now_s >= charts_from_s
                if charted:
                    charts_from_s = now_s + CHARTS_S
                yield f"data: {json.dumps(_shown(frame, charted))}\n\n"
        finally:
            ending.cancel()
            # Not awaited here: of a page that has left, whatever is awaited is cancelled.
            closing = asyncio.ensure_future(_close(coming, frames))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _close(
    coming: asyncio.Future[WatchFrame | None] | None, frames: AsyncGenerator[WatchFrame, None]
) -> None:
    """End the frames of a page that nobody looks at any more."""
    if coming is not None and not coming.done():
        coming.cancel()
        with suppress(asyncio.CancelledError):
            await coming
    await frames.aclose()


def _shown(frame: WatchFrame, charted: bool = True) -> dict[str, Any]:
    """A frame with its charts instead of the figures that they are drawn from."""
    shown = frame.model_dump(mode="json", exclude={"course"})
    return {**shown, "charts": draw_course(frame)} if charted else shown


class WatchServer:
    """A page on a socket. `port` 0 takes a free one."""

    def __init__(
        self,
        source: WatchSource,
        acts: WatchActs,
        title: str,
        port: int = 0,
        keys: PageKeys | None = None,
    ) -> None:
        """With the `keys` of a server that has ended, pages that it had opened go on with this one,
        which has its port. Raises `InputError` where the port is taken."""
        try:
            self._socket = socket.create_server((HOST, port))
        except OSError as error:
            raise InputError(
                f"--port {port}: {error.strerror or error}; name another one"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        self.keys = keys or PageKeys(frozenset({f"{HOST}:{self.port}", f"localhost:{self.port}"}))
        self._page = WatchPage(source, acts, self.keys, title)
        self.address = f"http://{HOST}:{self.port}/?token={self.keys.token}"
        self.app = Starlette(
            routes=self._page.routes(),
            exception_handlers={404: _no_such_path, 405: _no_such_method},
        )
        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = _QuietServer(config)

    async def run(self) -> None:
        """Serve until `end`."""
        watching = asyncio.ensure_future(self._watch_end())
        try:
            await self._server.serve([self._socket])
        finally:
            watching.cancel()
            self.close()

    def close(self) -> None:
        """Give the port back, where `run` was never called."""
        self._socket.close()

    def end(self) -> None:
        """Have `run` return soon; may be called from any thread."""
        self._server.should_exit = True

    async def _watch_end(self) -> None:
        """End the streams first: the server waits for them."""
        while not self._server.should_exit:
            await asyncio.sleep(0.1)
        self._page.ends.set()


class _QuietServer(uvicorn.Server):
    """Leaves signals to the command that runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn: take none."""
        yield


async def _no_such_path(request: Request, error: Exception) -> Response:
    return _refused(404, f"there is no {request.url.path}")


async def _no_such_method(request: Request, error: Exception) -> Response:
    return _refused(405, f"{request.url.path} takes no {request.method}")


def _text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _json(data: dict[str, Any]) -> Response:
    return JSONResponse(data, headers=HEADERS)


def _refused(status: int, words: str) -> Response:
    return JSONResponse({"error": words}, status, headers=HEADERS)


def _number(
    request: Request, name: str, default: float | None, low: float, high: float
) -> float | None:
    """A number of the address. Raises `InputError` for what is none, or not between the two."""
    given = request.query_params.get(name)
    if given is None:
        return default
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InputError(f"{name}: expected a number from {low:g} to {high:g}, got {given[:40]!r}")
    return value

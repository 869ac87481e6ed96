"""Callers of every kind, well-behaved or not, at the doors of a running testbed."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
import numpy as np

__all__ = ["Callers"]

ANSWERS = {200: "answered", 503: "refused"}
TASKS = ("depth", "segmentation", "normals", "edges", "keypoints", "all")


class Callers:
    """`count` callers, each with one exchange out; `outcomes` counts what became of them."""

    def __init__(self, urls: Sequence[str], pictures: Sequence[bytes], count: int = 6) -> None:
        self.outcomes: Counter[str] = Counter()
        self.surprises: list[str] = []
        """what no caller should ever see"""
        self._urls = urls
        self._pictures = pictures
        self._count = count
        self._stopped = False

    async def run(self) -> None:
        """Ask until `stop`."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
            await asyncio.gather(*(self._caller(session, n) for n in range(self._count)))

    def stop(self) -> None:
        """Let every caller end with the exchange that it has out."""
        self._stopped = True

    async def _caller(self, session: aiohttp.ClientSession, number: int) -> None:
        chance = random.Random(number)
        kinds = itertools.cycle(
            [self._picture, self._picture, self._tensor, self._nonsense, self._leaver, self._about]
        )
        for kind in kinds:
            if self._stopped:
                return
            await kind(session, self._urls[number % len(self._urls)], chance)

    async def _post(
        self, session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str],
        expected: frozenset[int],
    ) -> None:  # fmt: skip
        async with session.post(url, data=body, headers=headers) as reply:
            text = await reply.read()
        self.outcomes[ANSWERS.get(reply.status, f"HTTP {reply.status}")] += 1
        unserved = reply.status == 404 and b'"not_served"' in text  # the plan says what is served
        if reply.status not in expected and not unserved:
            self.surprises.append(f"{url}: HTTP {reply.status}: {text[:200]!r}")

    async def _picture(
        self, session: aiohttp.ClientSession, url: str, chance: random.Random
    ) -> None:
        await self._post(
            session, f"{url}/v2/models/{chance.choice(TASKS)}/infer", chance.choice(self._pictures),
            {"content-type": "image/png"}, frozenset({200, 503}),
        )  # fmt: skip

    async def _tensor(
        self, session: aiohttp.ClientSession, url: str, chance: random.Random
    ) -> None:
        image = np.full((96, 96, 3), chance.randrange(256), np.uint8)
        raw = image.tobytes()
        tensor = {
            "name": "image", "datatype": "UINT8", "shape": [96, 96, 3],
            "parameters": {"binary_data_size": len(raw)},
        }  # fmt: skip
        header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        await self._post(
            session, f"{url}/v2/models/{chance.choice(TASKS)}/infer", header.encode() + raw,
            {"inference-header-content-length": str(len(header))}, frozenset({200, 503}),
        )  # fmt: skip

    async def _nonsense(
        self, session: aiohttp.ClientSession, url: str, chance: random.Random
    ) -> None:
        body = chance.randbytes(chance.randrange(1, 4_000))
        await self._post(
            session, f"{url}/v2/models/depth/infer", body,
            {"content-type": chance.choice(("image/png", "application/json"))},
            frozenset({400, 422, 503}),  # a node without room does not read what it refuses
        )  # fmt: skip

    async def _leaver(
        self, session: aiohttp.ClientSession, url: str, chance: random.Random
    ) -> None:
        """Goes away in the middle of its body, or before its answer."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        body = chance.choice(self._pictures)
        head = (
            "POST /v2/models/depth/infer HTTP/1.1\r\nhost: soak\r\ncontent-type: image/png\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body[: chance.choice((0, len(body) // 2, len(body)))])
        await writer.drain()
        await asyncio.sleep(chance.random() * 0.05)
        writer.transport.abort()
        del reader
        self.outcomes["left"] += 1

    async def _about(self, session: aiohttp.ClientSession, url: str, chance: random.Random) -> None:
        path = chance.choice(("/v2", "/v2/health/ready", "/v2/models/stats", "/metrics"))
        async with session.get(url + path) as reply:
            await reply.read()
        self.outcomes["looked"] += 1
        if reply.status != 200:
            self.surprises.append(f"{url}{path}: HTTP {reply.status}")

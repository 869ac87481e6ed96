"""A body is the same whatever the pieces in which it came, and however it is put together."""

from __future__ import annotations

import asyncio

import pytest

from serving.http import body
from serving.http.body import joined


@pytest.mark.parametrize("start", [0, 1, 5])
@pytest.mark.parametrize("cuts", [(), (3,), (1, 2, 7)])
def test_parts_are_one_body(
    cuts: tuple[int, ...], start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bytes(range(10))
    parts = [whole[a:b] for a, b in zip((0, *cuts), (*cuts, len(whole)), strict=True)]
    for long_bytes in (5, 50):
        monkeypatch.setattr(body, "LONG_BYTES", long_bytes)
        assert asyncio.run(joined(list(parts), start)) == whole[start:]


def test_others_have_their_turn_while_a_long_body_is_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def others_ran(long_bytes: int) -> bool:
        monkeypatch.setattr(body, "LONG_BYTES", long_bytes)
        ran = asyncio.Event()
        asyncio.get_running_loop().call_soon(ran.set)
        assert await joined([b"x" * 10, b"y" * 10]) == b"x" * 10 + b"y" * 10
        return ran.is_set()

    assert asyncio.run(others_ran(20))
    assert not asyncio.run(others_ran(21))

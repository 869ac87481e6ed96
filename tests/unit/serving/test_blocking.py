"""Functions that wait for a coroutine: in a script, and on a loop that runs already."""

from __future__ import annotations

import asyncio

import pytest

from serving.blocking import run_blocking


async def double(number: int) -> int:
    await asyncio.sleep(0)
    if number < 0:
        raise ValueError(f"{number} is below 0")
    return 2 * number


async def on_a_loop(number: int) -> int:
    return run_blocking(double(number))


def test_a_script_gets_the_result_and_the_error() -> None:
    assert run_blocking(double(4)) == 8
    with pytest.raises(ValueError, match="-1 is below 0"):
        run_blocking(double(-1))


def test_so_does_a_notebook_whose_loop_runs_already() -> None:
    assert asyncio.run(on_a_loop(4)) == 8
    with pytest.raises(ValueError, match="-1 is below 0"):
        asyncio.run(on_a_loop(-1))

"""Inputs from inputs: bytes and plain data with some parts changed, dropped or repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

__all__ = ["bend_bytes", "bend_data"]

LONGEST_BYTES = 2**16
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def bend_bytes(
    rng: Random, data: bytes, words: Sequence[bytes] = (), others: Sequence[bytes] = ()
) -> bytes:
    """`data` with one to six edits; `words` are put in whole, `others` lend their ends."""
    bent = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        _edit(rng, bent, words, others)
    return bytes(bent[:LONGEST_BYTES])


def _edit(rng: Random, bent: bytearray, words: Sequence[bytes], others: Sequence[bytes]) -> None:
    start = rng.randrange(len(bent) + 1)
    end = min(len(bent), start + rng.choice((1, 1, 2, 4, 8, 32, 256, 4_096)))
    kind = rng.randrange(8)
    if kind == 0 and start < len(bent):
        bent[start] ^= 1 << rng.randrange(8)
    elif kind == 1 and start < len(bent):
        bent[start] = rng.choice(EXTREMES) & 0xFF
    elif kind == 2:
        del bent[start:end]
    elif kind == 3:
        bent[end:end] = bent[start:end] * rng.choice((1, 1, 2, 7, 100))
    elif kind == 4:
        bent[start:start] = rng.choice(words) if words else rng.randbytes(rng.randint(1, 8))
    elif kind == 5:
        width = rng.choice((1, 2, 4))
        number = rng.choice(EXTREMES) & (256**width - 1)
        bent[start : start + width] = number.to_bytes(width, rng.choice(("big", "little")))
    elif kind == 6:
        del bent[start:]
    elif others:
        other = rng.choice(others)
        bent[start:] = other[rng.randrange(len(other) + 1) :]


def bend_data(rng: Random, data: Any, leaf: Callable[[Random], Any]) -> Any:
    """Plain data (of YAML, JSON or msgpack) with one part, at any depth, replaced by a `leaf`,
    dropped, repeated, or put under another name."""
    inside = data if isinstance(data, dict | list) else ()
    if not inside or rng.random() < 0.15:
        return leaf(rng)
    if isinstance(data, list):
        place = rng.randrange(len(data))
        kind = rng.randrange(6)
        if kind == 0:
            return [*data[:place], *data[place + 1 :]]
        if kind == 1:
            return [*data[:place], data[place], *data[place:]]
        return [*data[:place], bend_data(rng, data[place], leaf), *data[place + 1 :]]
    key = rng.choice(list(data))
    kind = rng.randrange(8)
    if kind == 0:
        return {name: value for name, value in data.items() if name != key}
    if kind == 1:
        name = str(leaf(rng)) if rng.random() < 0.3 else f"{key}x"
        return data | {name: data[key]}
    return data | {key: bend_data(rng, data[key], leaf)}

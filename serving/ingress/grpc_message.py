"""One message of a gRPC call: waited for and weighed, before anything is made of it.

gRPC's own server reads a call's message before it asks anybody: without a token, for as long as the
caller likes, and parsed whatever it holds. Here a call is a stream, of which one message is taken
when the caller is known, within the time that a body has over HTTP. Before it is parsed its fields
are weighed: of a few bytes each, protobuf makes objects of a hundred.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from serving.errors import BadQueryError
from serving.http.limits import Limits

__all__ = ["MessageReceiver", "head_of", "parse_message"]

MOST_FIELDS = 1_024
"""on the first level of a message"""
RAW = 7
"""number of `raw_input_contents` in `ModelInferRequest`: bytes, which cost what they are"""
HEAD = {1, 2, 4}
"""numbers of `model_name`, `model_version` and `parameters` there"""
TEXT = 2
"""wire type of what has a length: texts, bytes, messages"""
FIXED_BYTES = {1: 8, 5: 4}
"""wire type -> bytes of a field"""


class MessageReceiver:
    """Takes the messages of one door's calls, so many at once as `limits` have memory for."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = asyncio.Semaphore(max(1, limits.gathered_bytes // limits.body_bytes))

    async def receive(self, messages: AsyncIterator[bytes]) -> bytes:
        """The one message of a call. Raises `BadQueryError` where none comes in time, or one that
        costs too much to parse."""
        seconds = self._limits.body_s
        try:
            async with asyncio.timeout(seconds), self._places:
                raw = await anext(messages)
        except TimeoutError:
            raise BadQueryError(408, f"no whole message within {seconds:g} s") from None
        except StopAsyncIteration:
            raise BadQueryError(400, "expected one message, got none") from None
        check_fields(raw, self._limits.json_bytes)
        return raw


def parse_message(raw: bytes, kind: Any) -> Any:
    """`raw` as the protobuf class `kind`. Raises `BadQueryError` for what is no such message."""
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise BadQueryError(400, f"the message cannot be read: {error}") from None


def head_of(raw: bytes, kind: Any) -> Any:
    """The `ModelInferRequest` `kind` of `raw` without its id, tensors and outputs: who asks for
    what, which is little to parse. Raises `BadQueryError`."""
    parts = (
        raw[field.start : field.end]
        for field in _fields(raw)
        if field.number in HEAD and field.kind == TEXT
    )
    return parse_message(b"".join(parts), kind)


def split_tensors(raw: bytes) -> tuple[bytes, list[memoryview]]:
    """The `ModelInferRequest` `raw` without its raw tensors, and those, which nothing copies: the
    parser would, and whoever reads them from what it makes would again. Raises `BadQueryError`."""
    rest, tensors = [], []
    for field in _fields(raw):
        if field.end > len(raw):
            raise BadQueryError(400, "the message cannot be read: it is cut off")
        if field.number == RAW and field.kind == TEXT:
            tensors.append(memoryview(raw)[_number(raw, field.value)[1] : field.end])
        else:
            rest.append(raw[field.start : field.end])
    return b"".join(rest), tensors


def check_fields(raw: bytes, most_bytes: int) -> None:
    """Raise `BadQueryError` if `raw` has over `MOST_FIELDS` fields, or more than `most_bytes`
    beside those of raw tensors; what is no protobuf at all is left to its parser."""
    structured = 0
    for fields, field in enumerate(_fields(raw), 1):
        if field.number != RAW or field.kind != TEXT:
            structured += field.end - field.value
        if fields > MOST_FIELDS or structured > most_bytes:
            raise BadQueryError(
                413,
                f"expected at most {MOST_FIELDS} fields and {most_bytes} bytes beside "
                "`raw_input_contents`",
            )


class _Field(NamedTuple):
    number: int
    kind: int
    """its wire type"""
    start: int
    value: int
    """where what follows its number begins"""
    end: int
    """which may lie behind the message, if that is cut off"""


def _fields(raw: bytes) -> Iterator[_Field]:
    """The fields on the first level. Raises `BadQueryError` for wire types of no message here."""
    place = 0
    while place < len(raw):
        start = place
        tag, place = _number(raw, place)
        kind, value = tag & 7, place
        if kind == TEXT:
            size, place = _number(raw, place)
            place += size
        elif kind == 0:
            _, place = _number(raw, place)
        elif kind in FIXED_BYTES:
            place += FIXED_BYTES[kind]
        else:  # groups, which the protocol has none of, and what protobuf does not know
            raise BadQueryError(400, f"the message has a field of wire type {kind}")
        yield _Field(tag >> 3, kind, start, value, place)


def _number(raw: bytes, place: int) -> tuple[int, int]:
    """A number of variable length at `place`, and where it ends: behind the message if it does not
    end in it."""
    value = shift = 0
    while place < len(raw) and shift < 70:
        byte = raw[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
    return value, len(raw) + 1

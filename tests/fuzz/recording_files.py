"""Recordings of the live page: read and shown, or refused in one line; a torn end is named."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

from cluster.document import DocumentError
from fuzz.bend import bend_bytes
from fuzz.target import Target
from serving.watch.recording import RECORDING, read_recording
from serving.watch.source import Replay

__all__ = ["RECORDINGS"]

WORDS = (b"null", b"-1", b"1e999", b"[]", b"{}", b'"x"', b'"kind":"sample"', b"true")


def make(rng: Random, corpus: Sequence[bytes]) -> bytes:
    whole = rng.choice(corpus)
    if rng.random() < 0.4:  # of what is packed
        return bend_bytes(rng, whole, others=corpus)
    try:
        text = gzip.decompress(whole)
    except (OSError, EOFError, zlib.error):
        return bend_bytes(rng, whole)
    return gzip.compress(bend_bytes(rng, text, WORDS), compresslevel=1, mtime=0)


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / RECORDING
        path.write_bytes(data)
        try:
            found = read_recording(path)
        except DocumentError as error:
            assert str(error).startswith(str(path)), str(error)
            assert "\n" not in str(error), str(error)
            return
    assert "\n" not in found.torn
    Replay(found).frame()


RECORDINGS = Target("recordings", make, check)

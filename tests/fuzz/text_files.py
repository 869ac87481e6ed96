"""Text of YAML and JSON files: read as their own readers read it, or refused in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import yaml

from cluster.parsing import TextError, decode, parse_json, parse_yaml
from fuzz.bend import bend_bytes
from fuzz.target import Target, bounded

__all__ = ["JSON", "YAML"]

WORDS = (
    b"<<: *a", b"&a ", b"*a", b"!!int ", b"!!set", b"!!binary ", b"!!timestamp ", b"? ", b"- ",
    b"1:30", b"010", b"0x1_f", b".inf", b"2001-13-45", b"|\n ", b">-\n ", b"{", b"[", b"}", b"]",
    b": ", b"#", b"'", b'"', b"%YAML 1.1\n---\n", b"...\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\t",
    b"1" * 5_000, b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"\\u0000", b'"a": 1,', b"~",
)  # fmt: skip
MEMORY_PER_BYTE, MEMORY_FREE_BYTES = 4_000, 32 * 2**20
"""PyYAML makes a node with two places in the text of each word, and aliases may stand for more"""
FREE_S, S_PER_BYTE = 0.5, 4e-4


def make(rng: Random, corpus: Sequence[bytes]) -> bytes:
    return bend_bytes(rng, rng.choice(corpus), WORDS, corpus)


def _check(data: bytes, parse: Callable[[str], Any], plainly: Callable[[str], Any]) -> None:
    try:
        text = decode(data)
        found = bounded(
            lambda: parse(text),
            most_s=FREE_S + S_PER_BYTE * len(data),
            most_bytes=MEMORY_PER_BYTE * len(data) + MEMORY_FREE_BYTES,
        )
    except TextError as error:
        assert str(error), "a refusal without a reason"
        assert "\n" not in str(error), str(error)
        return
    assert repr(found) == repr(plainly(text))  # NaN equals itself there


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's own, but for the truth values, which are those of YAML 1.2."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, words) for tag, words in found if not tag.endswith(":bool")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^([tT]rue|TRUE|[fF]alse|FALSE)$"), list("tTfF")
)


def check_yaml(data: bytes) -> None:
    _check(data, parse_yaml, lambda text: yaml.load(text, _PlainLoader))


def check_json(data: bytes) -> None:
    _check(data, parse_json, json.loads)


YAML = Target("yaml", make, check_yaml)
JSON = Target("json", make, check_json)

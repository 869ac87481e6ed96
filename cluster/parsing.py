"""Text of a file to plain data, refusing what a reader would misunderstand in silence.

YAML and JSON both let a key be named twice and keep the last, so that half of a demand is lost
without a word. YAML 1.1 also reads `1:30` as the number 90. Both are faults here, as are bytes that
are not UTF-8, data nested too deeply, and aliases that stand for more data than a file can mean.
Truth values of YAML 1.1 such as `on` and `no` are words here, as in YAML 1.2: `on` is a key of an
emulated device.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml

__all__ = ["TextError", "decode", "parse_json", "parse_yaml"]

DEEPEST = 64
"""lists and mappings within each other; the deepest file of the testbed has seven"""
MOST_VALUES = 500_000
"""that the aliases of a YAML file may stand for, each counted as often as it is meant"""
MOST_MERGED = 50_000
"""keys that merges may bring into the mappings of a YAML file: each is made anew, and compared"""
MOST_DIGITS = 1_000
"""of a number to the base of 2 or 16: Python reads any, and cannot write it to the base of 10"""
MERGE = "tag:yaml.org,2002:merge"
NULL = "tag:yaml.org,2002:null"
TRUTH = "tag:yaml.org,2002:bool"
TRUTH_WORDS = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
INTEGER, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xef\xbb\xbf": "UTF-8 with a mark"}


class TextError(ValueError):
    """The text cannot be read; the message says why, and where if that is known."""


def decode(raw: bytes) -> str:
    """The text of a file. Raises `TextError` for anything but UTF-8 without a byte order mark."""
    for mark, name in MARKS.items():
        if raw.startswith(mark):
            raise TextError(f"this is {name}; save it as plain UTF-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TextError(f"line {line} is not UTF-8; save the file as plain UTF-8") from None


def parse_json(text: str) -> Any:
    """Data of a JSON document. Raises `TextError`, also for a key that is named twice."""
    try:
        data = json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except TextError:
        raise
    except ValueError as error:  # also a number of more digits than Python reads
        raise TextError(str(error)) from None
    except RecursionError:
        raise TextError("it is nested too deeply") from None
    if _depth(data) > DEEPEST:
        raise TextError("it is nested too deeply")
    return data


def parse_yaml(text: str) -> Any:
    """Data of a YAML document. Raises `TextError`, also for a key that is named twice.

    Keys of a merge (`<<: *other`) may be named again, as YAML means them to be.
    """
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise TextError(_in_one_line(error)) from None
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _values_meant(node, {}, 0)
        _check_merges(node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise TextError(_in_one_line(error)) from None
    except TextError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # A value that is not of the kind that it looks like or is tagged with: a 45th of a month.
        raise TextError(f"a value cannot be read: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise TextError("it is nested too deeply") from None
    finally:
        loader.dispose()


def _in_one_line(error: yaml.YAMLError) -> str:
    """What the parser says, without its name for a text that it was given as such."""
    return " ".join(str(error).replace('in "<unicode string>", ', "in ").split())


class _Loader(yaml.SafeLoader):
    """Safe YAML with every key named once, and without numbers that mean others than they say."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping. Raises `ConstructorError` for a key that is named twice."""
        first_line: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key is a list or a mapping", key)
            name = MERGE if key.tag == MERGE else self.construct_object(key)
            if name in first_line:
                raise _fault(f"{name!r} is named twice, first in line {first_line[name]}", key)
            first_line[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.Node) -> int | float:
        """A number. Raises `ConstructorError` where YAML 1.1 reads another than is written."""
        if not isinstance(node, yaml.ScalarNode):
            raise _fault("a list or a mapping is tagged as a number", node)
        text = node.value.lstrip("+-").replace("_", "")
        if ":" in text:
            raise _fault(f"{node.value} is a number to the base of 60 in YAML; quote it", node)
        if text.startswith("0") and text[1:].isdigit():
            raise _fault(f"{node.value} is an octal number in YAML; leave the 0 out", node)
        number: int | float
        if text[:2].lower() in ("0x", "0b") and len(text) > MOST_DIGITS:
            raise _fault(f"a number of {len(text)} digits", node)
        if node.tag == INTEGER:
            number = self.construct_yaml_int(node)
        else:
            number = self.construct_yaml_float(node)
            if math.isinf(number) and "inf" not in text.lower():
                raise _fault(f"{node.value[:40]} is too large for a number", node)
        return number

    def construct_null(self, node: yaml.Node) -> None:
        """Nothing. Raises `ConstructorError` where something is tagged as nothing, and would go."""
        if not isinstance(node, yaml.ScalarNode) or node.value.lower() not in ("", "~", "null"):
            raise _fault("what is tagged as null is not empty", node)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, words) for tag, words in found if tag != TRUTH]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(TRUTH, TRUTH_WORDS, list("tTfF"))
_Loader.add_constructor(NULL, _Loader.construct_null)
_Loader.add_constructor(INTEGER, _Loader.construct_number)
_Loader.add_constructor(FLOAT, _Loader.construct_number)


def _fault(what: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


def _refuse_constant(word: str) -> None:
    raise TextError(f"{word} is no number of JSON")


def _finite(word: str) -> float:
    """The number written as `word`. Raises `TextError` for one that a float cannot hold: `1e999`
    would be read as infinity."""
    value = float(word)
    if math.isinf(value):
        raise TextError(f"{word[:40]} is too large for a number")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise TextError(f"{name!r} is named twice in one object")
        found[name] = value
    return found


def _values_meant(node: yaml.Node, counted: dict[int, int], depth: int) -> int:
    """Values that `node` stands for, aliases written out. Raises `TextError` for too many."""
    if depth > DEEPEST:
        raise TextError("it is nested too deeply")
    if id(node) in counted:
        if not counted[id(node)]:
            raise TextError("a part of it contains itself")
        return counted[id(node)]
    counted[id(node)] = 0  # until it is known, so that a node within itself is found
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        inside = node.value
    elif isinstance(node, yaml.MappingNode):
        inside = [each for pair in node.value for each in pair]
    total = 1 + sum(_values_meant(each, counted, depth + 1) for each in inside)
    if total > MOST_VALUES:
        raise TextError(f"its aliases stand for over {MOST_VALUES:,} values")
    counted[id(node)] = total
    return total


def _check_merges(root: yaml.Node) -> None:
    """Raise `TextError` where merges (`<<`) bring in more keys than a file can mean."""
    keys: dict[int, int] = {}
    """of each mapping, those of its merges included"""
    merged = 0
    for node in _inside_first(root):
        if not isinstance(node, yaml.MappingNode):
            continue
        keys[id(node)] = len(node.value)
        for key, value in node.value:
            if key.tag != MERGE:
                continue
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            brought = sum(keys.get(id(source), 0) for source in sources)
            keys[id(node)] += brought
            merged += brought
            if merged > MOST_MERGED:
                raise TextError(f"its merges stand for over {MOST_MERGED:,} keys")


def _inside_first(root: yaml.Node) -> list[yaml.Node]:
    """Every node once, those within it before it. No node is within itself, nor too deep."""
    found: dict[int, yaml.Node] = {}

    def visit(node: yaml.Node) -> None:
        if id(node) in found:
            return
        if isinstance(node, yaml.SequenceNode):
            for each in node.value:
                visit(each)
        elif isinstance(node, yaml.MappingNode):
            for pair in node.value:
                for each in pair:
                    visit(each)
        found[id(node)] = node

    visit(root)
    return list(found.values())


def _depth(data: Any) -> int:
    """Lists and mappings within each other."""
    deepest, level = 0, [data]
    while level:
        level = [
            inside
            for each in level
            if isinstance(each, dict | list)
            for inside in (each.values() if isinstance(each, dict) else each)
        ]
        deepest += 1
    return deepest - 1

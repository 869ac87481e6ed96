"""Files that a reader would misunderstand in silence are refused, by their name, in one line."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.demand import Demand
from cluster.document import DocumentError
from cluster.parsing import TextError, parse_json, parse_yaml
from cluster.specs import SPECS
from cluster.topology import Topology

DEMAND = (SPECS / "demo-demand.yaml").read_text()
TWICE = """\
name: dup
phases:
  - duration_s: 10
    rates_qps:
      client-0: {segmentation: 12, depth: 5}
      client-1: {segmentation: 3}
      client-0: {depth: 1}
"""
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = f"base: &base {{{', '.join(f'k{n}: {n}' for n in range(400))}}}\n" + "".join(
    f"o{n}: {{<<: *base}}\n" for n in range(500)
)


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("d.yaml", TWICE.encode(), "'client-0' is named twice, first in line 5"),
        ("d.yaml", b"name: a\nname: b\n", "'name' is named twice, first in line 1"),
        ("d.json", b'{"name": "a", "name": "b"}', "'name' is named twice in one object"),
        ("d.yaml", DEMAND.encode("utf-16"), "this is UTF-16; save it as plain UTF-8"),
        ("d.yaml", b"# caf\xe9\n" + DEMAND.encode(), "line 1 is not UTF-8"),
        ("d.json", b"\xef\xbb\xbf{}", "this is UTF-8 with a mark"),
        ("d.yaml", f"name: x\nphases: {'[' * 900}{']' * 900}\n".encode(), "nested too deeply"),
        ("d.yaml", f"name: x\nphases: {'[' * 90}{']' * 90}\n".encode(), "nested too deeply"),
        ("d.yaml", b"[" * 200_000, "nested too deeply"),
        ("d.json", b"[" * 200_000, "nested too deeply"),
        ("d.json", b'{"a": ' * 90 + b"1" + b"}" * 90, "nested too deeply"),
        ("d.yaml", BOMB.encode(), "its aliases stand for over 500,000 values"),
        ("d.yaml", b"phases: &a [*a]\n", "a part of it contains itself"),
        ("d.yaml", b"name: !!python/object/apply:os.system [ls]\n", "could not determine"),
        ("d.yaml", b"? [a, b]\n: c\n", "a key is a list or a mapping"),
        ("d.yaml", b"a: b: c\n", "mapping values are not allowed"),
        ("d.yaml", b"\x00", "special characters are not allowed"),
        ("d.yaml", b"a: 2024-13-45\n", "a value cannot be read"),
        ("d.yaml", b"a: !!int ''\n", "a value cannot be read"),
        ("d.yaml", b"a: !!int [1]\n", "tagged as a number"),
        ("d.yaml", b"a: !!bool abc\n", "a value cannot be read"),
        ("d.yaml", b"!!map [1]\n", "a value cannot be read"),
        ("d.yaml", b"a: " + b"9" * 5_000, "a value cannot be read"),
        ("d.json", b'{"a": ' + b"9" * 5_000 + b"}", "not valid json"),
        ("d.json", b'{"a": NaN}', "NaN is no number of JSON"),
        ("d.json", b'{"a": 1e999}', "1e999 is too large for a number"),
        ("d.json", b'{"a": [-1E400]}', "-1E400 is too large for a number"),
        ("d.yaml", b"a: 1.0e+999\n", "1.0e+999 is too large for a number"),
        ("d.yaml", b"a: 0_17\n", "octal"),
        ("d.yaml", b"<<: {a: 1}\n<<: {a: 2}\n", "named twice"),
        ("d.yaml", b"name: !!null abc\n", "what is tagged as null is not empty"),
        ("d.yaml", b"name: !!null [1]\n", "what is tagged as null is not empty"),
        ("d.yaml", MERGES.encode(), "its merges stand for over 50,000 keys"),
    ],
)
def test_a_file_that_would_be_misread_is_refused_by_its_name(
    tmp_path: Path, name: str, raw: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(DocumentError) as caught:
        Demand.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ("1:30", "number to the base of 60"),
        ("010", "octal"),
        ("true", "nodes.0.memory: expected no true or false here"),
        (".inf", "nodes.0.memory"),
        ("1e400", "nodes.0.memory"),
    ],
)
def test_a_memory_that_means_another_number_is_refused(
    tmp_path: Path, memory: str, words: str
) -> None:
    text = (SPECS / "demo.yaml").read_text()
    first = text.index("memory: ")
    end = min(text.index(sign, first + 8) for sign in ",}\n" if sign in text[first:])
    path = tmp_path / "t.yaml"
    path.write_text(f"{text[:first]}memory: {memory}{text[end:]}")
    with pytest.raises(DocumentError) as caught:
        Topology.load(path)
    assert words in str(caught.value)


def test_truth_is_no_number_wherever_it_stands() -> None:
    rates = {"client-0": {"depth": True}}
    with pytest.raises(DocumentError, match="rates_qps"):
        Demand.parse({"name": "d", "phases": [{"duration_s": 1, "rates_qps": rates}]})


def test_merge_keys_keep_working() -> None:
    text = "base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\nlist: {<<: [*base], a: 9}\n"
    found = parse_yaml(text)
    assert found["other"] == {"a": 1, "b": 3}
    assert found["list"] == {"a": 9, "b": 2}


@pytest.mark.parametrize("nothing", ["", "~", "null", "Null", "NULL", "!!null", "!!null ''"])
def test_what_is_empty_is_nothing(nothing: str) -> None:
    assert parse_yaml(f"a: {nothing}\nb: 1\n") == {"a": None, "b": 1}


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "On", "NO", "y"])
def test_a_word_that_only_old_yaml_takes_for_a_truth_value_is_a_word(word: str) -> None:
    assert parse_yaml(f"{word}: {word}\n") == {word: word}


@pytest.mark.parametrize(("word", "truth"), [("true", True), ("True", True), ("false", False)])
def test_truth_values_are_read(word: str, truth: bool) -> None:
    assert parse_yaml(f"a: {word}\n") == {"a": truth}


def test_merges_of_merges_are_counted_with_all_that_they_bring() -> None:
    chain = "a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(300)) + "}\n"
    chain += "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, x{n}: 1}}\n" for n in range(1, 160))
    with pytest.raises(TextError, match="merges"):
        parse_yaml(chain)
    assert parse_yaml("a: &a {x: 1}\nb: &b {<<: *a}\nc: {<<: [*a, *b], y: 2}\n")["c"] == {
        "x": 1, "y": 2,
    }  # fmt: skip


def test_every_file_that_ships_is_read_as_before() -> None:
    shipped = [*SPECS.glob("*.yaml")]
    assert shipped
    for path in shipped:
        assert parse_yaml(path.read_text()) == yaml.safe_load(path.read_text())


finite = st.floats(allow_nan=False, allow_infinity=False)  # the others are no JSON
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_what_is_written_is_read_again(data: object) -> None:
    assert parse_json(json.dumps(data)) == data


@given(st.text(alphabet="ab:-[]{}&*<! \n'\"0123.,?|>#\t", max_size=60))
def test_whatever_stands_in_a_file_it_is_read_or_refused(text: str) -> None:
    for parse in (parse_yaml, parse_json):
        with suppress(TextError):
            parse(text)


def test_a_fault_in_every_line_is_told_of_some_of_them() -> None:
    rates = {f"c{n}": {"depth": "x" * 10_000} for n in range(1_000)}
    with pytest.raises(DocumentError) as caught:
        Demand.parse({"name": "d", "phases": [{"duration_s": 1, "rates_qps": rates}]})
    assert re.search(r"and 98\d faults more$", str(caught.value))
    assert len(str(caught.value)) < 10_000


def test_a_file_of_another_kind_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(DEMAND)
    with pytest.raises(DocumentError) as caught:
        Topology.load(path)
    assert str(caught.value) == (
        f"{path}: phases: unknown key; this is another kind of file, it lacks nodes, links; "
        "docs/formats.md says what stands in it; cluster/specs has some"
    )


def test_a_key_that_is_only_misspelt_is_no_other_kind_of_file() -> None:
    with pytest.raises(DocumentError, match="phase: unknown key; did you mean phases"):
        Demand.parse({"name": "d", "phase": []})
    with pytest.raises(DocumentError, match="links: missing"):
        Topology.parse({"name": "t", "nodes": [], "x": 1})


def test_a_missing_file_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"no\.yaml: No such file or directory; docs/formats"):
        Demand.load(tmp_path / "no.yaml")

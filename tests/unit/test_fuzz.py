"""`make fuzz`: its corpus is read as it should be, and its driver misses no kind of finding."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from fuzz import drive as driver
from fuzz.bend import bend_bytes, bend_data
from fuzz.drive import drive
from fuzz.target import CORPUS, Target, bounded
from fuzz.targets import TARGETS

# From Python 3.12 on; what the driver's children run needs no lock of another thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

INPUTS = [
    pytest.param(target, name, id=f"{target.name}-{name}")
    for target in TARGETS
    for name in target.corpus()
]


@pytest.mark.parametrize(("target", "name"), INPUTS)
def test_the_corpus_is_read_as_it_should_be(target: Target, name: str) -> None:
    target.check(target.corpus()[name])


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_inputs_are_drawn_from_the_seed_and_vary(target: Target) -> None:
    corpus = list(target.corpus().values())
    drawn = [target.make(Random(f"seed {n}"), corpus) for n in range(20)]
    assert drawn == [target.make(Random(f"seed {n}"), corpus) for n in range(20)]
    assert len(set(drawn)) > 10


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < 200_000


def any_byte(rng: Random, corpus: Sequence[bytes]) -> bytes:
    return rng.randbytes(1)


def found_by(tmp_path: Path, check: object) -> list[str]:
    """What is kept of a target's findings: the last line of each."""
    target = Target("t", any_byte, check, folder="json")  # type: ignore[arg-type]
    tried = drive([target], seed="s", seconds=0.5, slice_s=0.5, jobs=1, folder=tmp_path)
    assert tried["t"] >= 1
    inputs = [path for path in tmp_path.glob("t-*") if path.suffix != ".txt"]
    assert all(len(path.read_bytes()) == 1 for path in inputs)
    return [
        path.with_name(path.name + ".txt").read_text().splitlines()[-1] for path in inputs
    ]  # fmt: skip


def test_an_exception_is_found_and_a_few_inputs_of_its_kind_are_kept(tmp_path: Path) -> None:
    def check(data: bytes) -> None:
        if data > b"\x40":
            raise ValueError(f"read {data!r}")

    found = found_by(tmp_path, check)
    assert len(found) == driver.MOST_OF_A_KIND
    assert all(line.startswith("ValueError: read ") for line in found)


def test_a_process_that_dies_is_found(tmp_path: Path) -> None:
    def check(data: bytes) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    assert set(found_by(tmp_path, check)) == {"the process ended with exit code -9"}


@pytest.mark.measures_process
def test_an_input_without_an_end_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "HANG_S", 0.3)

    def check(data: bytes) -> None:
        time.sleep(60)

    assert set(found_by(tmp_path, check)) == {"no end within 0.3 s"}


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert found_by(tmp_path, lambda data: None) == []


@pytest.mark.measures_process
def test_memory_and_time_beyond_the_bound_are_found() -> None:
    assert bounded(lambda: bytes(2**10), most_s=1.0, most_bytes=2**24) == bytes(2**10)
    with pytest.raises(AssertionError, match="bytes, at most"):
        bounded(lambda: b"x" * 2**26, most_s=10.0, most_bytes=2**24)

    def busy() -> None:
        end_s = time.thread_time() + 0.05
        while time.thread_time() < end_s:
            pass

    with pytest.raises(AssertionError, match="s of CPU time, at most"):
        bounded(busy, most_s=0.02, most_bytes=2**24)


def test_bent_inputs_differ_and_stay_bounded() -> None:
    whole = bytes(range(200))
    bent = [bend_bytes(Random(n), whole, (b"word",), (b"other",)) for n in range(300)]
    assert sum(each != whole for each in bent) > 250
    assert max(map(len, bent)) <= 2**16
    assert any(b"word" in each for each in bent)
    data = {"a": [1, 2, {"b": 3}], "c": "x"}
    changed = [bend_data(Random(n), data, lambda rng: None) for n in range(100)]
    assert sum(each != data for each in changed) > 90
    assert data == {"a": [1, 2, {"b": 3}], "c": "x"}

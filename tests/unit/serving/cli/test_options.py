"""Every numeric option of every verb has a range, which help shows and bad numbers meet.

The verbs are walked by the command line's own definition, so that a new one is tested too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
import typer

from serving.cli.main import app, run
from serving.cli.options import ALL, PHASE_OR_ALL, NumberRange

BAD = ["nan", "inf", "-inf", "-1", "1e308", "", "1:30", "1e999", "true", "0x10", "1_000", "9" * 400]


class Numeric(NamedTuple):
    """An option that takes a number."""

    verb: tuple[str, ...]
    flag: str
    info: Any
    """what `typer.Option` made; None where there is none"""

    @property
    def allowed(self) -> NumberRange | None:
        return getattr(getattr(self.info, "parser", None), "__self__", None)


def verbs(group: typer.Typer = app, above: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each verb's words and the function behind it."""
    for command in group.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        yield (*above, name), command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from verbs(inner.typer_instance, (*above, str(inner.name)))


def is_number(hint: Any) -> bool:
    """Whether an annotation is `int`, `float`, or a union or list with one of them in it."""
    return hint in (int, float) or any(is_number(part) for part in get_args(hint)[:8])


def numeric_options() -> list[Numeric]:
    found = []
    for verb, function in verbs():
        for name, hint in get_type_hints(function, include_extras=True).items():
            kind, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
            if name != "return" and is_number(kind):
                info = next(iter(notes), None)
                first = str(getattr(info, "default", ""))  # where typer keeps the first name given
                flag = first if first.startswith("--") else f"--{name.replace('_', '-')}"
                found.append(Numeric(verb, flag, info))
    return found


NUMERIC = numeric_options()


def test_the_walk_sees_the_options() -> None:
    seen = {(" ".join(option.verb), option.flag) for option in NUMERIC}
    assert {
        ("plan", "--fill"), ("plan", "--seed"), ("plan", "--overrun"), ("drive", "--phase"),
        ("up", "--port"), ("logs", "--lines"), ("problem sample", "--edges"), ("score", "--images"),
        ("zoo affinity", "--networks"), ("live", "--period"), ("demo", "--duration"),
    } <= seen  # fmt: skip
    assert len(seen) == len(NUMERIC) >= 36


@pytest.mark.parametrize(
    "option", NUMERIC, ids=lambda option: " ".join((*option.verb, option.flag))
)
class TestEachNumericOption:
    def test_declares_its_range(self, option: Numeric) -> None:
        assert isinstance(option.allowed, NumberRange), "declare it by serving.cli.options.number"

    def test_refuses_what_is_no_sensible_number(
        self,
        option: Numeric,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
        monkeypatch.chdir(tmp_path)
        assert option.allowed is not None
        for given in BAD:
            assert run([*option.verb, option.flag, given]) == 2
            out, err = capsys.readouterr()
            assert out == ""
            (line,) = err.splitlines()
            assert line.startswith(f"testbed: {option.flag}: expected {option.allowed.words}, got ")
            assert line.endswith(f"; see `testbed {' '.join(option.verb)} --help`")
            assert len(line) < 240
            assert list(tmp_path.iterdir()) == []

    def test_takes_the_ends_of_its_range(self, option: Numeric) -> None:
        allowed = option.allowed
        assert allowed is not None
        step = 1 if allowed.whole else (allowed.high - allowed.low) * 1e-9
        low = allowed.low + step if allowed.above_low else allowed.low
        high = allowed.high - step if allowed.below_high else allowed.high
        for value, beyond in ((low, allowed.low - step), (high, allowed.high + step)):
            assert allowed.parse(int(value) if allowed.whole else value) == value
            with pytest.raises(typer.BadParameter):
                allowed.parse(int(beyond) if allowed.whole else beyond)


@pytest.mark.parametrize("verb", sorted({option.verb for option in NUMERIC}), ids=" ".join)
def test_help_shows_the_ranges(
    verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run([*verb, "--help"]) == 0
    shown = capsys.readouterr().out
    for option in NUMERIC:
        if option.verb == verb:
            assert option.allowed is not None
            assert f"<{option.allowed.words}>" in shown


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (NumberRange("seconds", 0, 60, above_low=True), "seconds over 0 to 60"),
        (NumberRange("a gap", 0, 1, below_high=True), "a gap from 0 to under 1"),
        (NumberRange("a share", 0.05, 0.5), "a share from 0.05 to 0.5"),
    ],
)
def test_a_range_is_said_in_words(allowed: NumberRange, words: str) -> None:
    assert allowed.words == words


def test_a_number_is_read_as_it_is_written() -> None:
    seconds = NumberRange("seconds", 0, 60, above_low=True)
    assert [seconds.parse(text) for text in ("1", "+2.5", ".5", "1e1", "5.")] == [
        1,
        2.5,
        0.5,
        10,
        5,
    ]
    whole = NumberRange("a whole number", 0, 60, whole=True)
    assert whole.parse("07") == 7
    assert isinstance(whole.parse("7"), int)
    for text in ("7.0", "1e1", "٣", " 7", "7\n"):
        with pytest.raises(typer.BadParameter, match="expected a whole number from 0 to 60"):
            whole.parse(text)


def test_what_a_verb_says_of_a_mistake_is_an_error_of_ours() -> None:
    """A bare ValueError is taken for a fault of the program (exit code 1, with a traceback)."""
    folder = Path(__file__).parents[4] / "serving" / "cli"
    bare = [
        f"{path.name}: {line.strip()}"
        for path in folder.glob("*.py")
        for line in path.read_text().splitlines()
        if "raise ValueError(" in line or "raise KeyError(" in line
    ]
    assert not bare


def test_a_phase_is_a_number_or_all_of_them() -> None:
    assert PHASE_OR_ALL.parse("all") == ALL
    assert PHASE_OR_ALL.parse("3") == 3
    with pytest.raises(typer.BadParameter, match="or all"):
        PHASE_OR_ALL.parse("most")

"""Bad inputs kept as data: `tests/unit/serving/cli/bad_inputs/*.yaml`, one line a case.

A file states a command line, the good file that it reads (`of`), and cases: each spoils that file
in one way and says what the message has to name. `{file}` in the command line is the spoilt file.

    verb: up {file}
    of: topology.yaml
    code: 2
    cases:
      - {replace: ["tier: edge", "tier: fog"], says: [nodes.3.tier, "'fog'"]}

Ways of spoiling: `replace` the first place of a text, `text` or `bytes` instead of the whole, `set`
or `drop` values of a JSON document by their path (`profiles.0.setup_s`). A case without a file to
spoil has a command line of its own (`run`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["BadInput", "read_bad_inputs"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BadInput(_Model):
    """One case; `command` and `code` come from its file unless it has its own."""

    run: str = ""
    of: str = ""
    code: int = 0
    says: tuple[str, ...] = ()
    replace: tuple[str, str] | None = None
    text: str | None = None
    raw: tuple[int, ...] | None = Field(default=None, alias="bytes")
    set_: dict[str, Any] | None = Field(default=None, alias="set")
    drop: str | None = None

    @property
    def spoils(self) -> bool:
        """Whether a file is spoilt."""
        return any(
            way is not None for way in (self.replace, self.text, self.raw, self.set_, self.drop)
        )

    @property
    def spoilt(self) -> str:
        """The name of the spoilt file."""
        return f"spoilt{Path(self.of).suffix}"

    def arguments(self) -> list[str]:
        """The command line, without the program's name."""
        return shlex.split(self.run.replace("{file}", self.spoilt))

    def name(self) -> str:
        """What the case is, as a test's name."""
        return json.dumps(
            self.model_dump(exclude={"code", "says", "of"}, exclude_defaults=True, by_alias=True)
        )

    def spoil(self, folder: Path) -> None:
        """Write the spoilt file beside the good one in `folder`."""
        if not self.spoils:
            return
        (folder / self.spoilt).write_bytes(self._bytes(folder / self.of))

    def _bytes(self, good: Path) -> bytes:
        if self.raw is not None:
            return bytes(self.raw)
        if self.text is not None:
            return self.text.encode()
        if self.replace is not None:
            old, new = self.replace
            text = good.read_text()
            assert old in text, f"{good.name} has no {old!r}"
            return text.replace(old, new, 1).encode()
        data = json.loads(good.read_text())
        for path, value in (self.set_ or {}).items():
            holder, key = _place(data, path)
            holder[key] = value
        if self.drop is not None:
            holder, key = _place(data, self.drop)
            del holder[key]
        return json.dumps(data).encode()


class _File(_Model):
    verb: str = ""
    of: str = ""
    code: int = 2
    cases: tuple[BadInput, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.model_validate(yaml.safe_load(path.read_text()))


def read_bad_inputs(folder: Path) -> Iterator[BadInput]:
    """The cases of all files of `folder`."""
    for path in sorted(folder.glob("*.yaml")):
        file = _File.load(path)
        for case in file.cases:
            yield case.model_copy(
                update={
                    "run": case.run or file.verb,
                    "of": case.of or file.of,
                    "code": case.code or file.code,
                }
            )


def _place(data: Any, path: str) -> tuple[Any, Any]:
    """Where a value lies, and under which key. Raises `KeyError` if nothing is on the way."""
    *way, last = path.split(".")
    for step in way:
        data = data[int(step) if isinstance(data, list) else step]
    return data, int(last) if isinstance(data, list) else last

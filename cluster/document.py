"""Files that cross a stage: frozen typed documents, read and written in one way.

Every file of the testbed (topology, demand, card, profiles, problem, plan, ...) is one class
derived from `Document`. The same class serves code and file. Bad input is refused with one line
per fault: the file, the path of the key inside it, what was wrong, and the nearest valid key.
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from cluster.errors import InputError
from cluster.fault_words import fault_words, kind_of
from cluster.parsing import TextError, decode, parse_json, parse_yaml

__all__ = [
    "Document", "DocumentError", "FrozenModel", "shape_tag", "write_atomically", "write_together",
]  # fmt: skip


MOST_FAULTS = 20
"""of a file that are told"""
SHARED = 0.25
"""of the keys that a kind of file must have; so many of them another kind may have as well"""
SHOWN_KEYS = 4
GENERAL_KEYS = {"name", "schema_version", "provenance"}
"""keys that files of several kinds have"""


class DocumentError(InputError):
    """A file could not be read as the document it should be; the message says where and why."""


def shape_tag(shape: str) -> str:
    """The tag of one shape that a value may have, such as a text or a mapping (`pydantic.Tag`).
    Errors leave it out of the path, since it is no key of the file."""
    return f"({shape})"


class FrozenModel(BaseModel):
    """A value that never changes after construction and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but what a cached property found of the old value is not taken over."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """`memory: true` is no byte; pydantic would take it for 1."""
        field = cls.model_fields[info.field_name] if info.field_name else None
        if field is not None and _holds_bool(value) and not _may_hold_bool(field.annotation):
            raise ValueError("expected no true or false here")
        return value


class Document(FrozenModel):
    """A `FrozenModel` with a schema version that is stored as YAML or JSON (by file suffix)."""

    made_by: ClassVar[str] = ""
    """how to get such a file, said where one is missing"""

    schema_version: int = 1
    """of the file; of the class, in its default, the newest that is understood"""

    @field_validator("schema_version")
    @classmethod
    def _refuse_unknown_versions(cls, value: int) -> int:
        newest = cls.model_fields["schema_version"].default
        if value > newest:
            raise ValueError(
                f"written by a newer testbed; this one reads up to version {newest}, update it"
            )
        if value < 1:
            raise ValueError(f"expected a version from 1 to {newest}")
        return value

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read `path`. Raises `DocumentError` (missing file, syntax, unknown key, bad value)."""
        path = Path(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise DocumentError(
                f"{path}: {error.strerror or error}{f'; {cls.made_by}' if cls.made_by else ''}"
            ) from None
        try:
            text = decode(raw)
            data = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
        except TextError as error:
            kind = path.suffix[1:] or "YAML"
            raise DocumentError(f"{path}: not valid {kind}: {error}") from None
        return cls.parse(data, source=str(path))

    @classmethod
    def parse(cls, data: Any, source: str = "input") -> Self:
        """Validate plain data. Raises `DocumentError` naming `source` and each path."""
        if not isinstance(data, dict):
            raise DocumentError(f"{source}: expected a mapping of keys, got {kind_of(data)}")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise DocumentError(_describe(cls, data, error, source)) from None

    def as_text(self, suffix: str) -> str:
        """What `save` writes into a file of that suffix: JSON for `.json`, else YAML."""
        data = self.model_dump(mode="json", exclude_none=True)
        if suffix == ".json":
            return json.dumps(data, indent=1) + "\n"
        return yaml.safe_dump(data, sort_keys=False)

    def save(self, path: str | Path, *, mode: int = 0o644, durable: bool = False) -> Path:
        """Write atomically, as JSON or YAML by the suffix; returns the path written. `durable`: not
        before it is on the disk."""
        path = Path(path)
        text = self.as_text(path.suffix)
        return write_atomically(path, text, mode, durable=durable)


def write_atomically(
    path: Path, content: str | bytes, mode: int = 0o644, *, durable: bool = False
) -> Path:
    """Write `content` beside `path` and rename, so that a reader never sees half a file.

    `durable`: return only once file and name would outlive a crash of the machine.
    """
    write_together({path: content}, mode, durable=durable)
    return path


def write_together(
    contents: Mapping[Path, str | bytes], mode: int = 0o644, *, durable: bool = False
) -> None:
    """Write several files, each as `write_atomically` does. None of them is renamed before all are
    written, so a disk that has no room for all of them keeps what it had."""
    with ExitStack() as undo:
        written: dict[Path, Path] = {}
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            raw = content.encode() if isinstance(content, str) else content
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            temporary = written[path] = Path(name)
            undo.callback(temporary.unlink, missing_ok=True)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(raw)
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            temporary.chmod(mode)
        for path, temporary in written.items():
            temporary.replace(path)
        undo.pop_all()
    if durable:
        for folder in {path.parent for path in contents}:
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _describe(cls: type[BaseModel], data: Any, error: ValidationError, source: str) -> str:
    faults = _of_their_own(error.errors(include_url=False))
    other = _other_kind(cls, data, faults)
    if other:
        return f"{source}: {other}"
    lines = []
    for fault in faults[:MOST_FAULTS]:
        path = _path(fault)
        where = ".".join(str(part) for part in path)
        if fault["type"] == "extra_forbidden":
            message = "unknown key" + _suggestion(cls, data, path)
        else:
            message = fault_words(fault)
        # Of a fault between several entries only the message can say where it is.
        lines.append(f"{source}: {where}: {message}" if where else f"{source}: {message}")
    if len(faults) > MOST_FAULTS:
        lines.append(f"{source}: and {len(faults) - MOST_FAULTS} faults more")
    return "\n".join(lines)


def _of_their_own(faults: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without lists that are too short only because of what is wrong with their entries."""
    places = [fault["loc"] for fault in faults]

    def follows(fault: ErrorDetails) -> bool:
        loc = fault["loc"]
        return any(len(place) > len(loc) and place[: len(loc)] == loc for place in places)

    return [fault for fault in faults if fault["type"] != "too_short" or not follows(fault)]


def _path(fault: ErrorDetails) -> tuple[int | str, ...]:
    """The keys that lead to a fault."""
    path = fault["loc"]
    # An unknown key stands in the file, whatever it is called.
    kept = len(path) - 1 if fault["type"] == "extra_forbidden" else len(path)
    return tuple(part for i, part in enumerate(path) if i >= kept or not _is_tag(part))


def _is_tag(part: int | str) -> bool:
    return isinstance(part, str) and part.startswith("(") and part.endswith(")")


def _other_kind(cls: type[BaseModel], data: dict[str, Any], faults: list[ErrorDetails]) -> str:
    """What to say of a file that is of another kind altogether: it has hardly any of the keys."""
    keys = {name for name, field in cls.model_fields.items() if field.is_required()} - GENERAL_KEYS
    strange = [str(key) for key in data if key not in cls.model_fields]
    meant = keys & {*data, *(near for key in strange for near in _near(key, keys))}
    if not strange or len(meant) > SHARED * len(keys):
        return ""
    missing = [str(fault["loc"][0]) for fault in faults if fault["type"] == "missing"]
    hint = getattr(cls, "made_by", "")
    return (
        f"{_some(strange)}: unknown key{'s' if len(strange) > 1 else ''}; this is another kind of "
        f"file, it lacks {_some(missing)}{f'; {hint}' if hint else ''}"
    )


def _near(key: str, keys: Collection[str]) -> list[str]:
    return difflib.get_close_matches(key, keys, n=1, cutoff=0.7)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_KEYS]) + (", ..." if len(names) > SHOWN_KEYS else "")


def _suggestion(cls: type[BaseModel], data: Any, location: tuple[int | str, ...]) -> str:
    """'; did you mean X?' for the key at `location`, from the keys its own model accepts."""
    names = _valid_keys(cls, location[:-1])
    matches = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    if matches:
        return f"; did you mean {matches[0]}?"
    return f"; valid keys: {', '.join(names)}" if names else ""


def _valid_keys(cls: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    models: list[type[BaseModel]] = [cls]
    for part in location:
        if isinstance(part, int) or not models:
            continue
        if len(models) > 1:  # of several kinds; until `part` is one, it is the key of a mapping
            models = [model for model in models if part in _kinds(model)] or models
            continue
        field = models[0].model_fields.get(part)
        if field is None:
            return []
        models = _inner_models(field.annotation)
    return sorted(models[0].model_fields) if len(models) == 1 else []


def _inner_models(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models inside a container annotation, such as `tuple[Node, ...]`."""
    if _is_model(annotation):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _inner_models(argument)]


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    """What tells a model from the others that may stand in its place."""
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _holds_bool(value: Any) -> bool:
    """Whether plain data has a truth value in it."""
    if isinstance(value, dict):
        return any(_holds_bool(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_bool(each) for each in value)
    return isinstance(value, bool)


def _may_hold_bool(annotation: Any) -> bool:
    """Whether a truth value belongs there; what is inside models those models judge themselves."""
    if annotation in (bool, Any, object) or _is_model(annotation):
        return True
    if isinstance(annotation, type) and is_dataclass(annotation):
        return any(_may_hold_bool(each) for each in get_type_hints(annotation).values())
    return any(_may_hold_bool(each) for each in getattr(annotation, "__args__", ()))


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)

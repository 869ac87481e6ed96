"""A checkpoint that is not in the zoo on disk is fetched from where the user says, by its digest
(no torch here).

A wheel may leave out large checkpoints (`setup.py`). `TESTBED_ZOO_URL` names a folder, or an http
or https address, that has them under their names in the cards (`rooms-large-all.safetensors`).
What was fetched is kept in the user's cache; a file with another digest than the card's is not.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cluster.document import write_atomically
from cluster.errors import InputError
from models.zoo.cards import ModelCard
from models.zoo.registry import checkpoint_path

__all__ = [
    "PLACE_VARIABLE", "CheckpointError", "cache_folder", "fetch_checkpoint", "local_checkpoint",
    "present_checkpoint", "read_checkpoint",
]  # fmt: skip

PLACE_VARIABLE = "TESTBED_ZOO_URL"
TIMEOUT_S = 60.0
"""without a byte"""


class CheckpointError(InputError):
    """A checkpoint is missing or is not the one its card describes."""


def local_checkpoint(card: ModelCard) -> Path:
    """Where the card's checkpoint is on this machine: in its zoo, else in the cache if it was
    fetched before; the former if it is nowhere."""
    path = checkpoint_path(card)
    kept = _kept(card)
    return kept if kept.is_file() and not path.is_file() else path


def present_checkpoint(card: ModelCard) -> Path:
    """The same, fetched if it is nowhere. Raises `CheckpointError` where it cannot be had."""
    path = local_checkpoint(card)
    # A network of one's own is beside its file, and in no place that has the testbed's.
    if path.is_file() or card.builder is not None:
        return path
    place = os.environ.get(PLACE_VARIABLE, "")
    if not place:
        raise CheckpointError(
            f"{card.checkpoint} is not part of this installation; let {PLACE_VARIABLE} name a "
            "folder or an http(s) address that has it, for every verb, `testbed up` first of all"
        )
    return fetch_checkpoint(card, place)


def fetch_checkpoint(card: ModelCard, place: str) -> Path:
    """Fetch the card's checkpoint from the folder or address `place` into the cache; returns the
    file there. Raises `CheckpointError` where it cannot be had, or is another."""
    remote = place.startswith(("http://", "https://"))
    source = f"{place.rstrip('/')}/{card.checkpoint}" if remote else Path(place) / card.checkpoint
    content = _download(str(source)) if remote else _read(Path(source))
    found = hashlib.sha256(content).hexdigest()
    if found != card.checkpoint_sha256:
        raise CheckpointError(
            f"{source}: digest {found[:12]} is not the card's {card.checkpoint_sha256[:12]}; it "
            "was not kept"
        )
    return write_atomically(_kept(card), content)


def read_checkpoint(path: Path, sha256: str) -> bytes:
    """The file's content. Raises `CheckpointError` if it is missing or its digest is not
    `sha256`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CheckpointError(
            f"{path}: digest {found[:12]} is not the card's {sha256[:12]}; the file was changed "
            "or is incomplete"
        )
    return content


def cache_folder(name: str) -> Path:
    """Where the user's cache keeps files of that kind."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "j3o-testbed" / name


def _kept(card: ModelCard) -> Path:
    return cache_folder("checkpoints") / f"{card.checkpoint_sha256}.safetensors"


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{source}: {error.strerror or error}; {PLACE_VARIABLE} or --from names the folder"
        ) from None


def _download(source: str) -> bytes:
    import httpx  # by the few that fetch

    try:
        answer = httpx.get(source, timeout=TIMEOUT_S, follow_redirects=True).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{source}: {reason[:200]}") from None
    return answer.content

"""Traces of the zoo's networks, kept on this machine, so that nodes load models without timm.

Making a trace takes timm and torchvision, which import for two seconds and take 200 MB of a
process for as long as it lives. Reading one takes torch alone. So the first process that loads a
model here, most often that of `testbed profile`, makes its trace and leaves it in the user's cache
for all that follow. A trace is kept for one state of the code and one version of each package. The
folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from cluster.code_digest import code_digest
from cluster.document import write_atomically
from models.runtime.cpu_engine import Serving, Trace, make_trace
from models.zoo.cards import ModelCard
from models.zoo.fetch import cache_folder, present_checkpoint, read_checkpoint

__all__ = ["find_trace", "kept_path"]

MADE_BY = ("torch", "torchvision", "timm")
DIGEST_BYTES = hashlib.sha256().digest_size
"""of the archive, in front of it in the file"""


def find_trace(card: ModelCard, checkpoint: Path | None = None) -> Trace:
    """The trace of the card's network as trained, from `checkpoint` (default: the zoo's): the one
    that is kept, or one that is made and kept. That of a network of one's own is always made, since
    what its file imports may have changed.

    Raises as `models.zoo.assembly.load_network` does.
    """
    path = checkpoint or present_checkpoint(card)
    if card.builder is not None:
        return _make(card, path)
    read_checkpoint(path, card.checkpoint_sha256)
    taken = card.preprocessing
    archive = _read(kept_path(card))
    if archive is not None:
        return Trace(archive, (taken.height, taken.width, 3))
    made = _make(card, path)
    _keep(card, made.archive)
    return made


def kept_path(card: ModelCard) -> Path:
    """Where the card's trace is kept, once it is made."""
    versions = (f"{package} {version(package)}" for package in MADE_BY)
    decides = "\n".join((card.digest, code_digest(("models",)), *versions))
    key = hashlib.sha256(decides.encode()).hexdigest()[:16]
    return cache_folder("traces") / f"{card.name}.{key}.pt"


def _make(card: ModelCard, checkpoint: Path) -> Trace:
    from models.zoo.assembly import load_network

    network = load_network(card, checkpoint)
    return make_trace(Serving(network, card.tasks, card.preprocessing))


def _read(path: Path) -> bytes | None:
    """None where it is not there, or not as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, archive = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return archive if hashlib.sha256(archive).digest() == digest else None


def _keep(card: ModelCard, archive: bytes) -> None:
    """Write it in place of those of other code and versions; nowhere if it cannot be written."""
    path = kept_path(card)
    try:
        write_atomically(path, hashlib.sha256(archive).digest() + archive)
        for other in path.parent.glob(f"{card.name}.*.pt"):
            if other != path:
                other.unlink(missing_ok=True)
    except OSError:
        return

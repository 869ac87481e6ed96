"""The testbed's own files as they are here, for machines that are to run the same.

They are what a wheel of it would hold, also where this is a checkout with changes. On the other
side they lie in a folder named by their digest, so that the same files travel once.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.code_digest import PACKAGES, code_root, files_digest

__all__ = ["ShippedCode", "pack_code"]

CACHE = ".cache/j3o-testbed/code"
"""below the home folder there"""
LEFT_OUT = {".pyc", ".pyo"}


@dataclass(frozen=True)
class ShippedCode:
    """Which files travel."""

    root: Path
    files: tuple[Path, ...]
    digest: str

    def folder(self, home: str) -> str:
        """Where they lie on a machine on which this is the user's home folder."""
        return f"{home}/{CACHE}/{self.digest[:16]}"

    def archive(self) -> bytes:
        """All of them, as a tar file."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
            for path in self.files:
                tar.add(path, str(path.relative_to(self.root)))
        return buffer.getvalue()


def pack_code(root: Path | None = None) -> ShippedCode:
    """All files of the testbed's packages in `root`, by default those that this process runs."""
    root = root or code_root()
    files = tuple(_files(root))
    return ShippedCode(root, files, files_digest(root, files))


def _files(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and path.suffix not in LEFT_OUT:
                yield path

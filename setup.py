"""What pyproject.toml cannot say of the wheel: which checkpoints of the zoo are in it.

    J3O_WHEEL_CHECKPOINT_BYTES=1000000 pip wheel --no-deps .

leaves out those that are larger. Where they are missing they are fetched (`models.zoo.fetch`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

VARIABLE = "J3O_WHEEL_CHECKPOINT_BYTES"


class BuildWithCheckpoints(build_py):
    """`build_py`, which takes checkpoints up to a size."""

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        """setuptools: the files of a package that are no Python."""
        found: list[str] = super().find_data_files(package, src_dir)
        stated = os.environ.get(VARIABLE, "")
        if not stated:
            return found
        if not stated.isdecimal():
            sys.exit(f"{VARIABLE}: expected a number of bytes, got {stated!r}")
        largest = int(stated)
        return [
            name
            for name in found
            if not name.endswith(".safetensors") or Path(name).stat().st_size <= largest
        ]


setup(cmdclass={"build_py": BuildWithCheckpoints})

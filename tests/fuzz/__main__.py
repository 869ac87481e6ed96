"""`make fuzz`: every target for FUZZ_SECONDS in all, then exit code 1 if there are findings.

Usage: python -m fuzz           seeds are new each time, unless FUZZ_SEED names one
       python -m fuzz FILE ...  the inputs of findings once more, with their tracebacks
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from fuzz.decoded_pictures import DECODED_PICTURES
from fuzz.drive import drive
from fuzz.target import Target
from fuzz.targets import TARGETS

FOLDER = Path("out/fuzz")
SLICE_S = 6.0
ALL: tuple[Target, ...] = (*TARGETS, DECODED_PICTURES)


def replay(paths: Sequence[str]) -> None:
    """Raise what the inputs of the files raise."""
    by_name = {target.name: target for target in ALL}
    for path in map(Path, paths):
        name = path.name.rpartition("-")[0]
        if name not in by_name:
            sys.exit(f"fuzz: {path}: expected TARGET-DIGEST, TARGET one of {', '.join(by_name)}")
        by_name[name].check(path.read_bytes())
        print(f"{path}: read as it should be")


def main() -> None:
    """Fuzz, or replay the files that are named."""
    logging.disable()  # what is refused is logged, thousands of times a second here
    if sys.argv[1:]:
        replay(sys.argv[1:])
        return
    seed = os.environ.get("FUZZ_SEED") or secrets.token_hex(4)
    seconds = float(os.environ.get("FUZZ_SECONDS", "600"))
    folder = FOLDER / seed
    print(f"FUZZ_SEED={seed} FUZZ_SECONDS={seconds:g}", flush=True)
    jobs = len(os.sched_getaffinity(0))
    tried = drive(ALL, seed=seed, seconds=seconds, slice_s=SLICE_S, jobs=jobs, folder=folder)
    for name, count in tried.items():
        print(f"{name:17} {count:9} inputs")
    found = list(folder.glob("*.txt"))
    if found:
        sys.exit(f"fuzz: {len(found)} findings in {folder}; to repeat one: python -m fuzz FILE")
    print("nothing was found")


if __name__ == "__main__":
    main()

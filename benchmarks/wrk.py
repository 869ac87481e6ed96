"""One row of the serving benchmark driven by a generator that is not ours: wrk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = ["WrkError", "drive_with_wrk"]


class WrkError(Exception):
    """wrk is not there, or what it measured is no good; the message says which."""


def drive_with_wrk(
    url: str, body: bytes, headers: Mapping[str, str], *,
    callers: int, seconds: float, core: int | None, folder: Path,
) -> float:  # fmt: skip
    """Answered queries a second of POSTs of `body`, one thread. Raises `WrkError`."""
    program = shutil.which("wrk")
    if program is None:
        raise WrkError("wrk is not installed (Debian: apt-get install wrk)")
    folder.mkdir(parents=True, exist_ok=True)
    content, script = folder / "wrk_body.bin", folder / "wrk_post.lua"
    content.write_bytes(body)
    lines = [
        'wrk.method = "POST"',
        f'wrk.body = io.open("{content.resolve()}", "rb"):read("*a")',
        *(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()),
    ]
    script.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [program, "-t1", f"-c{callers}", f"-d{max(1, round(seconds))}s", "-s", script, url],
        capture_output=True, text=True, timeout=seconds + 60, check=False,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    return answered_qps(done.stdout)


def answered_qps(said: str) -> float:
    """Queries a second out of wrk's report. Raises `WrkError` if any query failed."""
    rate = re.search(r"^Requests/sec:\s*([0-9.]+)", said, re.MULTILINE)
    if rate is None:
        raise WrkError(f"wrk reported no rate: {said[-200:]!r}")
    for trouble in (r"Non-2xx or 3xx responses: (\d+)", r"Socket errors: (.*)"):
        found = re.search(trouble, said)
        if found:
            raise WrkError(f"wrk saw failures: {found.group(0)}")
    return float(rate.group(1))

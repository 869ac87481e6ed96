"""Make the peers' environments (`make bench-peers`): `python benchmarks/peers/install.py`.

Each is a virtual environment of its own with pinned versions. torch is not installed again where
the benchmark's own can be used: a path file adds it after the peer's packages. A peer that can't
be installed leaves its reason, which the benchmark then reports in its row.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers.catalog import PEERS, Peer, peers_home

OWN_LIBRARY = """
import ctypes, sys
library = ctypes.CDLL("libpython%d.%d.so.1.0" % sys.version_info[:2])
library.Py_GetVersion.restype = ctypes.c_char_p
found, own = library.Py_GetVersion().decode().split()[0], sys.version.split()[0]
sys.exit(0 if found == own else f"libpython is {found}, the interpreter {own}")
"""
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


class InstallError(Exception):
    """A peer's environment could not be made; the message says why."""


def install(peer: Peer) -> str:
    """Make the environment of `peer` unless it is there; says what was done."""
    mark = peer.home / ".installed"
    base = find_python(peer)
    recipe = peer.requirements.read_bytes() + f"{base} {sys.executable}".encode()
    key = hashlib.sha256(recipe).hexdigest()
    if mark.exists() and mark.read_text() == key:
        return "is there"
    shutil.rmtree(peer.home, ignore_errors=True)
    # Not by the base's own pip, which Debian's Python lacks: ours installs into the new place.
    said([base, "-m", "venv", "--without-pip", peer.home])
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    pip += ["--python", peer.python]
    said([*pip, "install", "--quiet", "-r", peer.requirements])
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if said([peer.python, "-c", VERSION]) == ours:
        libraries = Path(str(metadata.distribution("torch").locate_file(""))).resolve()
        site = said([peer.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        (Path(site) / "zz_torch_of_the_benchmark.pth").write_text(f"{libraries}\n")
    else:
        version = metadata.version("torch").split("+")[0]
        said([*pip, "install", "--quiet", f"torch=={version}"])
    imported = {"nvidia-pytriton": "pytriton"}.get(peer.distribution, peer.distribution)
    said([peer.python, "-c", f"import torch, {imported}; torch.zeros(1).numpy()"])
    mark.write_text(key)
    return "installed"


def find_python(peer: Peer) -> str:
    """An interpreter to make the environment with. Raises `InstallError`."""
    if not peer.embeds_python:
        return sys.executable
    tried = []
    # The system's first: the loader finds its library, and may mistake it for another Python's.
    for candidate in ("/usr/bin/python3", sys.executable):
        try:
            said([candidate, "-c", OWN_LIBRARY])
        except InstallError as error:
            tried.append(f"{candidate}: {error}")
        else:
            return candidate
    raise InstallError(f"needs a Python with its own libpython; {'; '.join(tried)}")


def said(command: Iterable[str | Path]) -> str:
    """Standard output of a command. Raises `InstallError` with the end of what it complained."""
    words = [str(word) for word in command]
    # The other interpreters must not look into this checkout.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=1_800, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from None
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise InstallError(f"{Path(words[0]).name} {words[1]}: {' '.join(complaint)[:300]}")
    return done.stdout.strip()


def main() -> None:
    """Install every peer that needs an environment of its own."""
    peers_home().mkdir(parents=True, exist_ok=True)
    for peer in PEERS:
        if not peer.own_environment:
            continue
        peer.error_file.unlink(missing_ok=True)
        try:
            print(f"{peer.title}: {install(peer)}", flush=True)
        except InstallError as error:
            shutil.rmtree(peer.home, ignore_errors=True)
            peer.error_file.write_text(f"not installed: {error}\n")
            print(f"{peer.title}: not installed: {error}", flush=True)


if __name__ == "__main__":
    main()

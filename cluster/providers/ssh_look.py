"""What a machine has, found out by a script that needs nothing but Python there."""

from __future__ import annotations

from cluster.document import FrozenModel
from cluster.providers.software import VERSIONS

__all__ = ["LOOK", "MachineLook"]


class MachineLook(FrozenModel):
    """What a machine has."""

    python: str
    """the interpreter, as an absolute path"""
    version: str
    """of Python"""
    home: str
    """the user's folder"""
    versions: dict[str, str]
    """distribution -> version, of those that matter; what is missing is left out"""
    cuda: str | None
    """that torch there is built for"""


LOOK = f"""
import json, os, platform, sys
from importlib import metadata, util
from pathlib import Path

versions = {{}}
for name in {VERSIONS!r}:
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
torch, cuda = util.find_spec("torch"), None
if torch is not None and torch.origin:
    of_torch = {{}}
    exec((Path(torch.origin).parent / "version.py").read_text(), of_torch)
    cuda = of_torch.get("cuda")
print(json.dumps({{
    "python": sys.executable, "version": platform.python_version(),
    "home": os.path.expanduser("~"), "versions": versions, "cuda": cuda,
}}))
"""

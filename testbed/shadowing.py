"""Find files and folders of others that Python would import instead of the testbed's packages.

The testbed is installed as several top-level packages with plain names. A script's own folder
comes first on Python's path, so a folder `models` or a file `planner.py` beside a script hides the
package of that name, and the import that fails later says nothing of the reason.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["PACKAGES", "refuse_shadowed_packages"]

PACKAGES = ("cluster", "models", "planner", "profiling", "serving")


def refuse_shadowed_packages() -> None:
    """Raise `ImportError`, in one line, if one of `PACKAGES` would not come from where `testbed`
    itself does. Imports nothing."""
    installed = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        found = _found(name)
        if found is not None and found.resolve() != installed / name:
            raise ImportError(
                f"testbed: {found} shadows the testbed's own package {name!r}; "
                "rename it or run from another folder",
                name=name,
            )


def _found(name: str) -> Path | None:
    """The file or folder that `import name` takes, or took; None where there is none."""
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:  # a package, with or without `__init__.py`
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None

"""Find policies that users wrote: by an entry point's name, or as `package.module:function`.

A package that is installed offers its policies in its `pyproject.toml`:

    [project.entry-points."j3o_testbed.policies"]
    popular-first = "my_package.planning:popular_first"

What such a function takes and returns says `planner.policies.plugin_plans`.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module, invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from cluster.errors import InputError
from planner.options import Options
from planner.problem import Problem

__all__ = [
    "GROUP",
    "PlugIn",
    "PolicyError",
    "describe_function",
    "find_function",
    "installed_plugins",
    "is_reference",
    "name_function",
    "warn_of_taken_names",
]

GROUP = "j3o_testbed.policies"
REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""`package.module:function`"""
PlugIn = Callable[[Problem, Options], object]
"""What a user writes; what it may return says `planner.policies.plugin_plans`."""
_log = logging.getLogger(__name__)


class PolicyError(InputError):
    """A policy of a user's own cannot be used: it cannot be imported, or what it returns is no plan
    that keeps every budget. The message names the policy and says what is wrong."""


def is_reference(name: str) -> bool:
    """Whether `name` is of the form `package.module:function`."""
    return REFERENCE.fullmatch(name) is not None


def installed_plugins() -> dict[str, str]:
    """name -> `package.module:function` of the policies that installed packages offer, by name.
    Imports none of them."""
    return {name: found[0].value for name, found in sorted(_offered().items())}


def find_function(name: str) -> PlugIn | None:
    """The user's function that `name` stands for; None where no package offers one of that name and
    it is no `package.module:function`.

    Modules of the current folder are found as well, after all others, so that none of them hides
    another. Raises `PolicyError`, in one line, for what cannot be imported, what is not there, and
    a name that two packages offer.
    """
    offered = _offered().get(name, ())
    if len(offered) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in offered))
        raise PolicyError(
            f"policy {name!r}: {packages} offer one of that name; take "
            f"{' or '.join(repr(entry.value) for entry in offered)}"
        )
    if offered:
        return _load(f"policy {name!r} of {_package(offered[0])}", offered[0].value)
    return _load(f"policy {name!r}", name) if is_reference(name) else None


def describe_function(function: PlugIn) -> str:
    """The first line of its docstring, or where it is defined."""
    return (inspect.getdoc(function) or name_function(function)).partition("\n")[0]


def name_function(function: PlugIn) -> str:
    """Where it is defined, as `package.module:function`."""
    module = getattr(function, "__module__", None) or "?"
    return f"{module}:{getattr(function, '__qualname__', type(function).__name__)}"


@cache
def warn_of_taken_names(taken: frozenset[str]) -> None:
    """Say, once, which plug-ins are left out because their name is one of ours, `taken`."""
    for name in sorted(taken & _offered().keys()):
        for entry in _offered()[name]:
            _log.warning(
                "policy %r is the testbed's own; that of %s is left out, take %r or rename it",
                name, _package(entry), entry.value,
            )  # fmt: skip


@cache
def _offered() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of the group by name; one of each place, as a package that is installed
    twice (an editable install beside an old one) lists its own twice."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, {}).setdefault(entry.value, entry)
    return {name: tuple(entries.values()) for name, entries in found.items()}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _load(who: str, reference: str) -> PlugIn:
    """The function at `reference`. Raises `PolicyError` that begins with `who`."""
    if not is_reference(reference):
        raise PolicyError(f"{who}: {reference!r} is not of the form package.module:function")
    module_name, _, path = reference.partition(":")
    if _CurrentFolder not in sys.meta_path:
        sys.meta_path.append(_CurrentFolder)
    invalidate_caches()  # a notebook may have written the module a moment ago
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        raise PolicyError(f"{who}: {_why_not_imported(module_name, error)}") from error
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, _functions(found), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PolicyError(f"{who}: {_place(module)} has no {path!r}{hint}")
        found = getattr(found, name)
    if not callable(found):
        raise PolicyError(
            f"{who}: {path!r} of {_place(module)} is a {type(found).__name__}, not a function"
        )
    function: PlugIn = found
    return function


def _why_not_imported(module: str, error: BaseException) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and f"{module}.".startswith(f"{missing}."):
        return f"there is no module {missing!r}, neither in this folder nor where Python looks"
    words = " ".join(str(error).split())
    return f"importing {module!r} failed: {type(error).__name__}: {words}"


def _functions(holder: object) -> list[str]:
    return [name for name, value in vars(holder).items() if callable(value)]


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or f"module {module.__name__!r}"


class _CurrentFolder:
    """Finds modules of the current folder, for what nothing else finds.

    `testbed` is started from a folder of Python's own, so that the user's is not on the path. At
    the end of the path it would still come before packages in editable installs, and a folder
    `models` there would hide the testbed's.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As of `importlib.abc.MetaPathFinder`."""
        return PathFinder.find_spec(name, [""], target) if path is None else None

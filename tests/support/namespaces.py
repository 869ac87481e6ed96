"""Tests that make network namespaces: where they run, and where they are skipped."""

from __future__ import annotations

import os

import pytest

from cluster.providers.netns_rights import RightsError, check_rights

__all__ = ["NEEDS_NETNS", "lacking"]


def lacking() -> str:
    """Why no namespace can be made here; empty where one can."""
    try:
        check_rights()
    except RightsError as error:
        return str(error)
    return ""


NEEDS_NETNS = pytest.mark.skipif(
    bool(lacking()) and "TESTBED_CI" not in os.environ,  # there they fail, so that it is noticed
    reason=lacking() or "namespaces can be made",
)

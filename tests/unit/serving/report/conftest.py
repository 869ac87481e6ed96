"""One synthetic run for all tests of the report."""

from __future__ import annotations

import pytest

from support.synthetic_run import Synthetic, synthetic


@pytest.fixture(scope="session")
def made() -> Synthetic:
    return synthetic()

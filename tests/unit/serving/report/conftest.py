from __future__ import annotations

import pytest
from synthetic import Synthetic, synthetic


@pytest.fixture(scope="session")
def made() -> Synthetic:
    return synthetic()

"""The affine fit, the measuring loop on a fake clock, and cutting a measurement to a node."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiling.fit import fit_affine
from profiling.profile import BatchLatency, Profiles

BATCHES = (1, 2, 4, 8, 16)


@given(setup_s=st.floats(0, 0.1), marginal_s=st.floats(1e-4, 0.1))
def test_an_affine_latency_is_recovered(setup_s: float, marginal_s: float) -> None:
    fit = fit_affine(BATCHES, [setup_s + marginal_s * batch for batch in BATCHES])
    assert fit.setup_s == pytest.approx(setup_s, abs=1e-7)
    assert fit.marginal_s == pytest.approx(marginal_s, rel=1e-4)
    assert fit.residual < 1e-6


def test_costs_are_never_negative() -> None:
    convex = [0.001 * batch**1.5 for batch in BATCHES]
    assert fit_affine(BATCHES, convex).setup_s == 0.0
    flat = [0.01, 0.0099, 0.0098, 0.0097, 0.0096]
    assert fit_affine(BATCHES, flat).marginal_s == 0.0


def test_the_residual_is_the_relative_error() -> None:
    latency_s = np.array([0.010, 0.020, 0.040])
    fit = fit_affine([1, 2, 4], latency_s * np.array([1.1, 0.9, 1.0]))
    assert 0.02 < fit.residual < 0.12


@pytest.mark.parametrize(
    ("batch", "latency_s"), [([1], [0.1]), ([1, 1], [0.1, 0.1]), ([1, 2], [0.1, 0.0])]
)
def test_what_cannot_be_fitted_is_refused(batch: list[int], latency_s: list[float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        fit_affine(batch, latency_s)


def test_a_pair_profiled_twice_is_refused() -> None:
    from cluster.document import DocumentError

    entry = {
        "model": "m", "node": "n", "measured_on": "n", "setup_s": 0.0, "marginal_s": 0.1,
        "residual": 0.0, "weights_bytes": 1, "workspace_bytes": 0, "load_s": 0.1,
        "latency": [BatchLatency(batch=1, p50_s=0.1, p95_s=0.1, runs=5).model_dump()],
    }  # fmt: skip
    provenance = {
        "created_at": "", "command": "", "commit": "", "host": "", "processor": "", "cores": 1,
        "versions": {},
    }  # fmt: skip
    data = {"topology": "t", "profiles": [entry], "provenance": provenance}
    found = Profiles.parse(data).find("n", "m")
    assert found is not None
    assert found.resident_bytes == 1
    assert Profiles.parse(data).find("n", "x") is None
    with pytest.raises(DocumentError, match="profiled twice"):
        Profiles.parse({**data, "profiles": [entry, entry]})

"""The affine cost of a batch: latency(b) ~ nu + c b, both at least zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from profiling.fit_quality import quality_of
from profiling.profile import BatchLatency, ModelProfile

__all__ = ["AffineFit", "fit_affine", "with_latency"]


@dataclass(frozen=True)
class AffineFit:
    """Set-up cost nu and marginal cost c, in seconds, and how far the data lie from the line."""

    setup_s: float
    marginal_s: float
    residual: float
    """root mean square of the relative errors"""


def fit_affine(batch: Sequence[int], latency_s: Sequence[float]) -> AffineFit:
    """Fit by non-negative least squares on relative errors.

    Relative, because a plan uses small and large batches alike: absolute errors would fit the
    largest batch only. Raises `ValueError` for fewer than two batch sizes or a latency that is
    not positive.
    """
    sizes_b = np.asarray(batch, dtype=float)
    latency_b = np.asarray(latency_s, dtype=float)
    if sizes_b.shape != latency_b.shape or len(np.unique(sizes_b)) < 2:
        raise ValueError("expected one latency for each of at least two batch sizes")
    if not np.all(latency_b > 0):
        raise ValueError(f"expected positive latencies, got {latency_b.min()}")
    columns = np.column_stack([np.ones_like(sizes_b), sizes_b]) / latency_b[:, None]
    (setup_s, marginal_s), error = nnls(columns, np.ones_like(latency_b))
    return AffineFit(float(setup_s), float(marginal_s), float(error / np.sqrt(len(sizes_b))))


def with_latency(profile: ModelProfile, latency: tuple[BatchLatency, ...]) -> ModelProfile:
    """`profile` with other batch times, and nu and c fitted to their medians."""
    fit = fit_affine([entry.batch for entry in latency], [entry.p50_s for entry in latency])
    return profile.model_copy(
        update={
            "latency": latency,
            "setup_s": fit.setup_s,
            "marginal_s": fit.marginal_s,
            "residual": fit.residual,
            "fit": quality_of(latency, fit.setup_s, fit.marginal_s),
        }
    )

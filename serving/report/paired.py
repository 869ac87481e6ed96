"""By how much one policy is better than another on the same traffic, and how sure that is.

Both met the same queries, run by run, so what a run or a picture had in store for them cancels out.
Runs and pictures are drawn anew, with replacement and for both policies alike, and the difference
of the mean scores is looked at over `RESAMPLES` such draws: 95 % of them lie in the interval.
Queries about one picture score alike, so pictures are drawn and not queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from planner.problem import FloatArray
from serving.report.compare import PairedDifference, PolicyRow, rank
from serving.traffic.measurement import Measurements

__all__ = ["paired_difference", "with_differences"]

RESAMPLES = 4000
TAILS = (0.025, 0.975)


def with_differences(
    rows: Sequence[PolicyRow], runs: Mapping[str, Sequence[Measurements]]
) -> list[PolicyRow]:
    """`rows` with each policy's difference to the most accurate one. `runs` has what each policy
    measured, run by run on the same traffic."""
    best = rank(rows)[0].policy
    return [
        row
        if row.policy == best
        else row.model_copy(
            update={"to_best": paired_difference(runs[row.policy], runs[best], best)}
        )
        for row in rows
    ]


def paired_difference(
    mine: Sequence[Measurements], other: Sequence[Measurements], name: str
) -> PairedDifference:
    """Accuracy x answered of `mine` - that of `other`, which `name` measured in the same runs.

    Raises `ValueError` for other numbers of runs, or none.
    """
    if not mine or len(mine) != len(other):
        raise ValueError(f"expected pairs of runs, got {len(mine)} and {len(other)}")
    pictures = 1 + max(int(rows.image.max()) for rows in (*mine, *other))
    score, count = [], []
    for runs in (mine, other):
        sums_r2i = np.array([_sums(rows, pictures) for rows in runs])
        score.append(sums_r2i[:, 0])
        count.append(sums_r2i[:, 1])
    rng = np.random.default_rng(0)
    asked_i = np.flatnonzero(count[0].sum(axis=0) + count[1].sum(axis=0))
    differences = np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        run_r = np.bincount(rng.integers(len(mine), size=len(mine)), minlength=len(mine))
        drawn = rng.choice(asked_i, size=len(asked_i))
        picture_i = np.bincount(drawn, minlength=pictures)
        differences[draw] = np.subtract(*(
            (run_r @ score_ri @ picture_i) / max(run_r @ count_ri @ picture_i, 1e-9)
            for score_ri, count_ri in zip(score, count, strict=True)
        ))  # fmt: skip
    low, high = np.quantile(differences, TAILS)
    value = score[0].sum() / count[0].sum() - score[1].sum() / count[1].sum()
    return PairedDifference(to=name, value=float(value), low=float(low), high=float(high))


def _sums(rows: Measurements, pictures: int) -> tuple[FloatArray, FloatArray]:
    """By picture (i), the sum of scores and the number of queries."""
    score_q = np.where(rows.answered, rows.score, 0.0)
    score_i = np.bincount(rows.image, weights=score_q, minlength=pictures)
    count_i = np.bincount(rows.image, minlength=pictures)
    return np.asarray(score_i, dtype=np.float64), np.asarray(count_i, dtype=np.float64)

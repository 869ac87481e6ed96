"""Since when a client's queries are of another mix: the evidence for each moment it may have begun.

For the last k looks, two stories are compared: their queries are drawn from the mix that was known
before them, or from any other. Of both the probability of the counts is known in closed form
(Dirichlet-multinomial), with the uncertainty of the known mix in it, and their ratio is the
evidence. A mix that stays has, for each k, an expected ratio of 1, so it exceeds `SURE` for at most
one start in 1 / `SURE` (Ville's inequality), however few the queries are.

Example: of 10 queries a second 6 asked for depth, now 6 ask for edges. The ratio is about 40 after
a second of that and passes 1e5 within the third one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

import numpy as np
from scipy.special import gammaln

__all__ = ["MixLook", "looks_since_mix_change"]

SURE = 1e5
"""times as likely that the mix is another one. With a look a second, a mix that stays is taken for
another one less than once in a day."""
PRIOR_QUERIES = 0.5
"""of each task, of either mix, before any is seen (Jeffreys)"""

MixLook = tuple[float, Mapping[str, int], float]
"""seconds, new queries by task, scatter of the mix as it was known before"""


def looks_since_mix_change(
    recent: Sequence[MixLook], counts: Mapping[str, float], memory_s: float, spared: int
) -> int:
    """Looks since the mix changed; 0 if it did not for all that is known.

    `recent` are the latest looks. `counts` are the queries by task of a memory that forgets within
    `memory_s` and has the latest looks in it, of which `spared` at least are needed to know a mix
    by. Queries that come in groups of one task (a scatter above 1) count for as many fewer.
    """
    longest = min(len(recent), spared)
    if longest <= 0 or not counts:
        return 0
    tasks = sorted(counts)
    latest = list(reversed(recent))[:longest]
    seen_kt = np.array([[look[1].get(task, 0) for task in tasks] for look in latest], dtype=float)
    spent_k = np.array([look[0] for look in latest])
    scatter_k = np.maximum(1.0, np.array([look[2] for look in latest]))
    age_k = np.concatenate([[0.0], np.cumsum(spent_k)[:-1]])
    inside_kt = np.cumsum(seen_kt, axis=0)
    remembered_kt = np.cumsum(seen_kt * np.exp(-age_k / memory_s)[:, None], axis=0)
    before_kt = np.maximum(np.array([counts[task] for task in tasks]) - remembered_kt, 0.0)
    new_kt = inside_kt / scatter_k[:, None]
    known_kt = before_kt / scatter_k[:, None] + PRIOR_QUERIES
    evidence_k = _log_probability(new_kt, np.full_like(new_kt, PRIOR_QUERIES))
    evidence_k -= _log_probability(new_kt, known_kt)
    best = int(np.argmax(evidence_k))
    return best + 1 if evidence_k[best] > log(SURE) else 0


def _log_probability(count_kt: np.ndarray, prior_kt: np.ndarray) -> np.ndarray:
    """Of the order in which the queries came, under a Dirichlet-multinomial; per row."""
    each = gammaln(prior_kt + count_kt) - gammaln(prior_kt)
    total = gammaln(prior_kt.sum(axis=1)) - gammaln((prior_kt + count_kt).sum(axis=1))
    return np.asarray(each.sum(axis=1) + total)

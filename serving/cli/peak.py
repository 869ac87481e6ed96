"""`--find-peak`: the options of the search for the largest load, and how its result is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.table import Table

from cluster.demand import Phase
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.options import DURATION_S, REPETITIONS, NumberRange, number
from serving.traffic.measurement import Measurements
from serving.traffic.peak import Trial, count_within, search_peak

__all__ = [
    "FindPeak", "PeakSeeds", "PeakShare", "PeakTolerance", "PeakWithin", "tell_peak",
    "trial_words",
]  # fmt: skip

PEAK_SHARE = NumberRange("a share", 0, 1, above_low=True, below_high=True)
TOLERANCE = NumberRange("a share", 0.001, 1)

FindPeak = Annotated[
    bool, typer.Option("--find-peak", help="search the largest load, as a factor on the demand")
]
PeakShare = Annotated[
    float, number(PEAK_SHARE, "--share", help="of the queries that the peak answers in time")
]
PeakWithin = Annotated[
    float | None,
    number(DURATION_S, "--within", help="what is in time; default: each path's own bound"),
]
PeakSeeds = Annotated[int, number(REPETITIONS, "--seeds", help="runs at each load")]
PeakTolerance = Annotated[
    float, number(TOLERANCE, "--tolerance", help="how close to the peak the search stops")
]


def trial_words(trial: Trial, share: float, seeds: int) -> str:
    """Whether a load holds, and by what: the share in time of all its runs together, or that too
    little can come of the runs that are left out."""
    low, high = trial.interval
    made = f"{trial.seeds} run" + ("s" if trial.seeds > 1 else "")
    if trial.seeds < seeds:
        made += f", which decide it: {seeds - trial.seeds} more left out"
    verdict = "holds, at least" if trial.holds else "fails, less than"
    return (
        f"{verdict} the {100 * share:.4g} % that is asked: {trial.share:.2%} in time "
        f"(95 % interval {low:.2%} to {high:.2%}; {made})"
    )


def tell_peak(
    out: VerbOutput,
    run: Callable[[Sequence[Phase], int], Measurements],
    phases: Sequence[Phase],
    *,
    seed: int,
    share: float,
    within_s: float | None,
    seeds: int,
    tolerance: float,
) -> None:
    """Search the peak and say what was found. `run(phases, seed)` drives once.

    Ends the command with exit code 3 if no load holds.
    """
    duration_s = sum(phase.duration_s for phase in phases)

    def measure(factor: float, n: int) -> tuple[int, int]:
        return count_within(run([phase.scaled(factor) for phase in phases], seed + n), within_s)

    def rate_qps(trial: Trial) -> float:
        return trial.sent / trial.seeds / duration_s

    def tell(trial: Trial) -> None:
        out.say(
            f"{trial.factor:.3f} of the demand, {rate_qps(trial):.1f} queries/s: "
            f"{trial_words(trial, share, seeds)}"
        )

    peak = search_peak(measure, share=share, tolerance=tolerance, seeds=seeds, on_trial=tell)
    table = Table("load", "queries/s", "in time", "95 % interval", "holds")
    for trial in sorted(peak.trials, key=lambda trial: trial.factor):
        low, high = trial.interval
        table.add_row(
            f"{trial.factor:.3f}", f"{rate_qps(trial):.1f}", f"{trial.share:.2%}",
            f"{low:.2%} to {high:.2%}", "yes" if trial.holds else "no",
        )  # fmt: skip
    out.table(table)
    held, failed = peak.held, peak.failed
    out.result(
        {
            "factor": held.factor if held else None,
            "rate_qps": rate_qps(held) if held else None,
            "share_in_time": held.share if held else None,
            "interval": held.interval if held else None,
            "fails_at_factor": failed.factor if failed else None,
            "trials": [
                {"factor": each.factor, "in_time": each.within, "sent": each.sent,
                 "seeds": each.seeds, "holds": each.holds}
                for each in peak.trials
            ],
        }
    )  # fmt: skip
    if held is None:
        least = min(peak.trials, key=lambda trial: trial.factor)
        out.say(
            f"no load keeps {share:.1%} of the queries in time; at {least.factor:.3g} of the load "
            f"{least.share:.1%} are. Whatever the load, some the plan serves nowhere or too late: "
            "ask for a lower --share, or take a plan that serves more"
        )
        raise typer.Exit(ExitCode.NOT_MET)
    beyond = f"; {failed.factor:.3f} fails" if failed else "; none that was tried fails"
    out.say(
        f"peak: {held.factor:.3f} of the demand, {rate_qps(held):.1f} queries/s, with "
        f"{held.share:.2%} in time{beyond}"
    )

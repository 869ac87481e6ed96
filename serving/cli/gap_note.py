"""What a plan leaves room for, and why it is not proven as closely as was asked for."""

from __future__ import annotations

from planner.certificate import Status
from planner.solution import Solution
from serving.cli.console import VerbOutput

__all__ = ["note_bursts", "note_gap"]

PROVING = ("certified", "exact")
"""policies that go on until the gap is what was asked for"""


def note_gap(out: VerbOutput, wanted: float, limit_s: float, solution: Solution) -> None:
    """Say why a policy that proves its plans stopped short of the gap asked for, and what helps."""
    found = solution.certificate
    if solution.policy not in PROVING or found.gap <= wanted * (1 + 1e-6) + 1e-9:
        return
    if found.status is Status.TIME_LIMIT:
        why = f"its {limit_s:g} s were over; a longer --time-limit may close the gap"
    elif (solution.problem.dispersion_c > 1).any():
        why = (
            "the bound is for links as wide as they are, of which plans leave a part to bursts "
            "(F17); no policy's comes closer"
        )
    elif solution.policy == "certified":
        why = (
            "its bound comes no closer, though the plan may be better than that proves; "
            "`--policy exact` closes the gap where the problem is small enough for it"
        )
    else:
        why = (
            "the program that it solves holds windows (F11) only from below; `--policy certified` "
            "bounds them closer"
        )
    out.say(
        f"[yellow]note[/]: --gap {wanted:g} asks for {100 * wanted:.3g} %, "
        f"{100 * found.gap:.3g} % was reached: {why}"
    )


def note_bursts(out: VerbOutput, solution: Solution) -> None:
    """Say that a plan leaves room for bursts (F17), and how wide they are."""
    widest = float(solution.problem.dispersion_c.max(initial=1.0))
    if widest > 1:
        out.say(
            "room is left for bursts: in two windows a client's queries scatter up to "
            f"{widest:.3g} times as widely as at random (F17); `testbed simulate` shows what that "
            "is worth"
        )

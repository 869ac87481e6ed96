"""The verb that says whether this machine has what the testbed needs: doctor."""

from __future__ import annotations

import typer

from serving.cli.console import ExitCode, VerbOutput
from serving.cli.inputs import Json
from serving.doctor.finding import Fitness

__all__ = ["VERBS"]

MARKS = {Fitness.GOOD: "[green]good[/]  ", Fitness.POOR: "[yellow]poor[/]  ",
         Fitness.BROKEN: "[red]broken[/]"}  # fmt: skip


def doctor(as_json: Json = False) -> None:
    """Look at this machine: what the testbed needs, what is there, and how to mend what is not.

    Changes nothing. Exit code 1 if something is broken.
    """
    out = VerbOutput(as_json)
    from serving.doctor.look import look

    found = []
    for finding in look():
        found.append(finding)
        out.say(f"{MARKS[finding.health]}  [bold]{finding.about}[/]: {finding.words}")
        if finding.mend:
            out.say(f"          {finding.mend}")
    broken = sum(finding.health is Fitness.BROKEN for finding in found)
    poor = sum(finding.health is Fitness.POOR for finding in found)
    out.say(
        f"{broken} broken, {poor} poor, {len(found) - broken - poor} good"
        if broken or poor
        else "all is there"
    )
    out.result({"findings": [finding.model_dump(mode="json") for finding in found]})
    if broken:
        raise typer.Exit(ExitCode.FAILED)


VERBS = (doctor,)

"""The verb that measures models on the nodes of the running cluster: profile."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.errors import InputError
from cluster.providers import ray_driver
from cluster.providers.state import state_path
from cluster.topology import Topology
from models.zoo.registry import find_model, list_models
from profiling.freshness import refuse_partial, refuse_stale
from profiling.profile import Profiles
from profiling.sampling import SamplingRule
from profiling.verify import TOLERATED
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.inputs import Json, NewRun, models_of, naming_file
from serving.cli.options import PROFILE_S, SHARE, number
from serving.cli.output import LooseOutput, check_output
from serving.cli.profile_output import (
    cost_tables,
    drift_table,
    neighbour_tables,
    notes_on,
    part_table,
    shares_in_words,
)
from serving.cli.run_work import RunWork
from serving.runs.manifest import FileKind
from serving.traffic.run_use import host_use, read_host_times

__all__ = ["VERBS"]

RULE = SamplingRule()
LOOK_S = 0.5
BUSY = 0.25
"""of the machine's cores: what an idle cluster takes is a tenth"""


def profile(
    output: LooseOutput = None,
    benchmark: Annotated[str, typer.Option(help="models trained on this benchmark")] = "rooms",
    model: Annotated[list[str] | None, typer.Option(help="these models instead; repeat")] = None,
    seconds: Annotated[
        float, number(PROFILE_S, help="most seconds to time one model at all batch sizes")
    ] = RULE.budget_s,
    width: Annotated[
        float, number(SHARE, help="of a median's 95 % interval ÷ the median, then it is settled")
    ] = RULE.width,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="measure again what was measured before")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="measure a sample of the run's, or of --output, again; code 3: drifted"
        ),
    ] = False,
    run: NewRun = None,
    as_json: Json = False,
) -> None:
    """Measure a benchmark's models on the nodes of the running cluster.

    What was measured before with the same models, versions and hardware is taken as it was.
    """
    out = VerbOutput(as_json)
    rule = SamplingRule(width=width, budget_s=seconds)
    work = RunWork(out, run, begins=not verify)
    if verify:
        _verify(out, work.read(FileKind.PROFILES, output, "--output"), rule)
        return
    if output is not None:
        check_output(output)
    cards = tuple(find_model(name) for name in model) if model else models_of(benchmark)
    state = ray_driver.connect()
    work.note_topology(state.topology, measured=True)
    output = work.writes((FileKind.PROFILES,), output)
    from serving.deploy.profile_nodes import profile_cluster

    beside = _look_at_the_machine()
    if beside is not None and beside > BUSY:
        out.say(
            f"[yellow]this machine is {beside:.0%} busy with other work[/], so models are measured "
            "as slower than they are: end that work, and run this again"
        )
    begun, begun_s = datetime.now(UTC), time.perf_counter()
    begun_at = begun.isoformat(timespec="seconds")
    with out.progress("profiling") as advance:
        profiles = profile_cluster(
            state.topology, cards, rule=rule, kept=kept_folder(), fresh=fresh, on_progress=advance
        )
    work.save(FileKind.PROFILES, profiles.save)
    done = work.finish()
    ray_driver.disconnect()
    spent_s = time.perf_counter() - begun_s
    _tell(out, state.topology, profiles, begun_at)
    out.say(f"{len(cards)} model{'s' if len(cards) > 1 else ''} in {spent_s:.0f} s")
    out.wrote(output)
    out.result(
        {
            "profiles": str(output),
            "run": None if done is None else done.name,
            "models": len(cards),
            "measured": len(profiles.measured),
            "kept": len([each for each in profiles.measured if each.taken_at < begun_at]),
            "seconds": spent_s,
            "busy_before": beside,
            "unsettled": sum(len(each.unsettled) for each in profiles.measured),
        }
    )


def _look_at_the_machine() -> float | None:
    """How busy this machine's cores are before anything is measured, from 0 to 1."""
    before = read_host_times()
    time.sleep(LOOK_S)
    use = host_use(before, read_host_times())
    return None if use is None else use.busy_share + use.stolen_share


def kept_folder() -> Path:
    """Where measurements are kept for the next time."""
    return state_path().with_name("measurements")


def _tell(out: VerbOutput, topology: Topology, profiles: Profiles, begun_at: str) -> None:
    out.tables(*cost_tables(profiles))
    out.table(part_table(profiles))
    if any(each.rows for each in profiles.interference):
        out.tables(*neighbour_tables(profiles))
    for line in (*shares_in_words(topology, profiles), *notes_on(profiles, begun_at)):
        out.say(line)


def _verify(out: VerbOutput, file: Path, rule: SamplingRule) -> None:
    profiles = Profiles.load(file)
    state = ray_driver.connect()
    from serving.deploy.profile_nodes import verify_on_cluster

    cards = list_models()
    with naming_file(file):
        if profiles.topology != state.topology.name:
            raise InputError(
                f"they are of the topology {profiles.topology!r}, and {state.topology.name!r} is "
                "up; name another file with --output"
            )
        refuse_partial(state.topology, profiles)
        refuse_stale(cards, profiles)
        with out.progress("verifying") as advance:
            drifts = verify_on_cluster(
                state.topology, cards, profiles, rule=rule, on_progress=advance
            )
    ray_driver.disconnect()
    out.table(drift_table(drifts))
    drifted = [drift for drift in drifts if drift.drifted]
    by = f"more than {TOLERATED:.0%} and more than chance"
    out.say(
        f"{len(drifted)} of {len(drifts)} medians drifted, by {by}; `testbed profile --fresh` "
        "measures anew"
        if drifted
        else f"{file} still holds: none of {len(drifts)} medians drifted, by {by}"
    )
    rows: list[dict[str, Any]] = [
        {
            "model": drift.model,
            "measured_on": drift.measured_on,
            "batch": drift.then.batch,
            "then_s": drift.then.p50_s,
            "now_s": drift.now.p50_s,
            "drifted": drift.drifted,
        }
        for drift in drifts
    ]
    told = {"drifted": len(drifted), "tolerated": TOLERATED, "sample": rows}
    out.result({"profiles": str(file), **told})
    if drifted:
        raise typer.Exit(ExitCode.NOT_MET)


VERBS = (profile,)

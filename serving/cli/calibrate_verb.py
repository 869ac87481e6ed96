"""The verb that corrects profiles by what a run has shown: calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cluster.errors import InputError
from cluster.provenance import collect_provenance
from profiling.calibrate import BatchTimes, corrected_profiles
from profiling.profile import Profiles, digest_of
from profiling.scatter import LEAST_WEIGHT
from profiling.shared_hosts import shared_hosts
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json, MeasurementsFile, ProfilesFile, RunName
from serving.cli.output import check_output
from serving.cli.run_work import RunWork
from serving.runs.manifest import FileKind
from serving.traffic.measurement import Measurements
from serving.verdicts.observed import served_by, way_cost

__all__ = ["VERBS"]


def calibrate(
    measurements: MeasurementsFile = None,
    profiles: ProfilesFile = None,
    run: RunName = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="default: the file of --profiles, or a new run"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Correct profiles by what batches took in a run, so that the next plan knows it.

    The times of emulated devices are stated, and stay.
    """
    out = VerbOutput(as_json)
    work = RunWork(out, run, follows=True)
    loose = output or profiles
    if loose is not None:
        check_output(loose)
    profiles = work.read(FileKind.PROFILES, profiles, "--profiles")
    measurements = work.read(FileKind.MEASUREMENTS, measurements, "--measurements")
    before, rows = Profiles.load(profiles), Measurements.load(measurements)
    if rows.run.simulated:
        raise InputError(
            f"{measurements}: it was simulated, not measured; name what `testbed drive` measured"
        )
    # Profiles that were corrected may be so again by the same run: a factor of two each time.
    known = rows.run.profiles_digest
    if before.version == 1 and known not in (None, digest_of(before.profiles)):
        raise InputError(
            f"{measurements}: it was measured under a plan that was made from other profiles than "
            f"{profiles}; name its own with --profiles"
        )
    target = work.writes((FileKind.PROFILES,), loose)
    hosts = shared_hosts(before)
    served = [each for each in served_by(rows, hosts) if _is_measured(before, each)]
    if not served:
        raise InputError(
            f"{measurements} has no batch of a model that {profiles} has a measured time of"
        )
    way = way_cost(rows, hosts)
    after = corrected_profiles(before, served, collect_provenance("testbed calibrate"), way)
    work.save(FileKind.PROFILES, after.save)
    done = work.finish()
    table = Table("model", "node", "batches", "batch of", "was", "is", "ratio")
    lines, scattering = [], 0
    for each in served:
        size = round(each.mean_size)
        was, now = before.find(each.node, each.model), after.find(each.node, each.model)
        assert was is not None
        assert now is not None
        scattering += bool(now.calibration and now.calibration.scatter)
        row = {
            "model": each.model, "node": each.node, "batches": round(each.batches), "size": size,
            "was_s": was.batch_s(size), "is_s": now.batch_s(size),
        }  # fmt: skip
        lines.append(row)
        table.add_row(
            each.model, each.node, str(row["batches"]), str(size),
            f"{was.batch_s(size) * 1e3:.2f} ms", f"{now.batch_s(size) * 1e3:.2f} ms",
            f"{now.batch_s(size) / was.batch_s(size):.2f}",
        )  # fmt: skip
    out.table(table)
    if way is not None:
        out.say(
            f"beside queues, batches and links a query takes {way.door_s * 1e3:.1f} ms, and "
            f"{way.hop_s * 1e3:.1f} ms more for each link"
        )
    out.say(
        f"how batches scatter is known of {scattering} of {len(served)}, for the simulator: of "
        f"those with {LEAST_WEIGHT:.0f} batches or more"
    )
    out.wrote(target)
    out.say(
        f"profiles are of version {after.version}; `testbed plan` plans with them, and another run "
        "under that plan shows what it was worth"
    )
    out.result(
        {
            "profiles": str(target), "run": None if done is None else done.name,
            "version": after.version, "corrected": lines,
        }
    )  # fmt: skip


def _is_measured(profiles: Profiles, seen: BatchTimes) -> bool:
    profile = profiles.find(seen.node, seen.model)
    return profile is not None and profile.emulated is None


VERBS = (calibrate,)

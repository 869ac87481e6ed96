"""The verb that corrects profiles by what a run has shown: calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cluster.errors import InputError
from cluster.provenance import collect_provenance
from profiling.calibrate import BatchTimes, corrected_profiles
from profiling.profile import Profiles
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json, ProfilesFile
from serving.cli.output import check_output, save_result
from serving.traffic.measurement import Measurements
from serving.verdicts.observed import served_by, way_cost

__all__ = ["VERBS"]


def calibrate(
    measurements: Annotated[Path, typer.Option(help="measurements.parquet")] = Path(
        "out/measurements.parquet"
    ),
    profiles: ProfilesFile = Path("out/profiles.json"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="default: the file of --profiles")
    ] = None,
    as_json: Json = False,
) -> None:
    """Correct profiles by what batches took in a run, so that the next plan knows it.

    The times of emulated devices are stated, and stay.
    """
    out = VerbOutput(as_json)
    target = output or profiles
    check_output(target)
    before, rows = Profiles.load(profiles), Measurements.load(measurements)
    known = [each for each in served_by(rows) if _is_measured(before, each)]
    if not known:
        raise InputError(
            f"{measurements} has no batch of a model that {profiles} has a measured time of"
        )
    way = way_cost(rows)
    after = corrected_profiles(before, known, collect_provenance("testbed calibrate"), way)
    save_result(after.save, target)
    table = Table("model", "node", "batches", "batch of", "was", "is", "ratio")
    lines = []
    for each in known:
        size = round(each.mean_size)
        was, now = before.find(each.node, each.model), after.find(each.node, each.model)
        assert was is not None
        assert now is not None
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
    out.wrote(target)
    out.say(f"profiles are of version {after.version}; `testbed plan` plans with them")
    out.result({"profiles": str(target), "version": after.version, "corrected": lines})


def _is_measured(profiles: Profiles, seen: BatchTimes) -> bool:
    profile = profiles.find(seen.node, seen.model)
    return profile is not None and profile.emulated is None


VERBS = (calibrate,)

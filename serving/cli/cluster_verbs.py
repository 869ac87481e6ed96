"""Verbs of the cluster: up, down, status."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from cluster.errors import InputError
from cluster.measured_links import with_links
from cluster.provider_choice import PROVIDERS, choice_of
from cluster.providers import lifecycle, ray_driver
from cluster.providers.provider import provider_of
from cluster.providers.state import ClusterError, find_cluster, state_path
from cluster.specs import SPECS
from cluster.topology import Topology, link_name
from profiling.published import refuse_unpublished
from serving.cli.belonging import (
    judged_plan,
    plan_in_force,
    refuse_not_in_force,
    runs_of_plan,
    serving_setting,
)
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    Json,
    PlanFile,
    PlannedDemand,
    ProfilesFile,
    RunName,
    naming_file,
)
from serving.cli.link_words import condition_data
from serving.cli.options import DURATION_S, PHASE, PORT, number
from serving.cli.run_work import RunWork
from serving.cli.verdict_output import Strict, end_strictly, tell_verdicts
from serving.runs.manifest import FileKind
from serving.traffic.run_use import host_use, read_host_times
from serving.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from serving.deploy.assignment_record import PlanInForce
    from serving.deploy.fleet import Fleet
    from serving.node.snapshot import NodeSnapshot
    from serving.verdicts.judge import PlannedFor

__all__ = ["VERBS", "exec"]


def up(
    topology: Annotated[Path, typer.Argument(help="topology YAML")] = SPECS / "demo.yaml",
    provider: Annotated[
        str | None,
        typer.Option(
            help=f"what brings it up: {', '.join(PROVIDERS)}; default: the topology's, or local"
        ),
    ] = None,
    port: Annotated[
        int | None, number(PORT, help="port of Ray's head; default: a free one")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT of the head of a Ray cluster that you run")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token that your Ray cluster asks for")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a Ray cluster with a place for each node of the topology, or find them in yours.

    With --address nothing of the cluster there is started or stopped.
    """
    out = VerbOutput(as_json)
    wanted = Topology.load(topology)
    with naming_file(topology):
        refuse_unpublished(wanted)
        choice = choice_of(wanted.provider, provider, address, token_file)
        lifecycle.check(wanted, choice)
    with out.busy(f"cluster {wanted.name!r} with {len(wanted.nodes)} nodes"):
        state = lifecycle.up(wanted, choice=choice, port=port, say=out.say)
    try:
        out.say(f"cluster [bold]{wanted.name}[/] is up at {state.address}; `testbed down` ends it")
        out.result({"topology": wanted.name, "address": state.address, "pid": state.head_pid})
    except BaseException:  # whoever was not told of it would not end it
        lifecycle.down(out.say)
        raise


def down(as_json: Json = False) -> None:
    """End the cluster and everything that runs in it."""
    out = VerbOutput(as_json)
    ended = lifecycle.down(out.say)
    out.say("the cluster is down" if ended else "no cluster was up")
    out.result({"ended": ended})


def exec(
    node: Annotated[str, typer.Argument(help="a node of the cluster")],
    command: Annotated[list[str], typer.Argument(help="what is run there, with its arguments")],
) -> None:
    """Run a command where a node is: in its network namespace, if it has one.

    Ends with the command's own exit code.
    """
    state = find_cluster()
    if state is None:
        raise ClusterError("no cluster is up; start one with `testbed up TOPOLOGY`")
    wanted = state.topology.node(node).name
    raise typer.Exit(provider_of(state.provider.kind).exec(state, wanted, command))


def status(
    over: Annotated[
        float | None,
        number(DURATION_S, help="look twice, so long apart, and judge the plan's predictions"),
    ] = None,
    plan: PlanFile = None,
    profiles: ProfilesFile = None,
    demand: PlannedDemand = None,
    phase: Annotated[int, number(PHASE, help="of the demand named with --demand")] = 0,
    run: RunName = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """What is up: nodes, the plan in force, models, endpoints.

    With --over: whether what the nodes do then is what profiles and plan predict.
    """
    out = VerbOutput(as_json)
    if strict and over is None:
        raise InputError("--strict judges predictions; say over how many seconds with --over")
    state = find_cluster()
    if state is None or not state.alive:
        out.say("no cluster is up; start one with `testbed up`")
        out.result({"up": False})
        return
    work = RunWork(out, run)
    wanted, judged_file = None, Path()
    if over is not None:
        from serving.verdicts.judge import PlannedFor

        setting = serving_setting(work, profiles)
        judged, judged_file, load = judged_plan(work, plan, setting, demand, phase)
        wanted = PlannedFor(setting.as_planned(judged), judged, load)
    ray_driver.connect()
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    in_force = fleet.in_force() if fleet else None
    if wanted is not None and fleet is not None:
        refuse_not_in_force(work, wanted.plan, judged_file, plan, plan_in_force(fleet))
    snapshots = fleet.snapshots() if fleet else {}
    endpoints = fleet.endpoints() if fleet else {}
    table = Table(Column("node", no_wrap=True), "tier", "device", "plan", "models", "answered")
    rows = []
    places = {place.node: place for place in lifecycle.nodes_of(state)}
    for node in state.topology.nodes:
        seen = snapshots.get(node.name)
        door = endpoints.get(node.name)
        row = {
            "node": node.name,
            "tier": str(node.tier),
            "device": str(node.device),
            "plan_version": seen.plan_version if seen else 0,
            "models": list(seen.models) if seen else [],
            "answered": sum(seen.served.values()) if seen else 0,
            "batches": seen.batches if seen else 0,
            "late_batches": seen.late_batches if seen else 0,
            "url": door.url if door else "",
            "metrics": f"http://{door.metrics_address}/metrics" if door else "",
            "grpc": door.grpc_address if door else "",
            "host": places[node.name].host,
            "ray_node": "running" if places[node.name].running else "gone",
        }
        rows.append(row)
        table.add_row(
            node.name,
            str(node.tier),
            str(node.device),
            str(row["plan_version"]) if seen else "not deployed",
            ", ".join(seen.models) if seen else "",
            str(row["answered"]),
        )
    out.table(table)
    for row in rows:
        if row["url"]:
            out.say(f"{row['node']}: {row['url']}, gRPC {row['grpc']}")
    told_plan = _tell_plan(out, work, in_force) if fleet else None
    told_links = _tell_links(out, snapshots)
    told_ratios = _tell_measured(out, in_force, state.topology)
    verdicts: tuple[Verdict, ...] = ()
    if wanted is not None and over is not None:
        verdicts = _judge_now(out, fleet, snapshots, wanted, over)
    told = [verdict.model_dump(mode="json") for verdict in verdicts]
    out.result(
        {
            "up": True, "topology": state.topology.name, "address": state.address,
            "provider": state.provider.kind, "nodes": rows,
            "in_force": told_plan, "links": told_links,
            "measured": told_ratios,
            **({"verdicts": told} if over is not None else {}),
        }
    )  # fmt: skip
    ray_driver.disconnect()
    end_strictly(verdicts, strict)


def _tell_plan(
    out: VerbOutput, work: RunWork, in_force: PlanInForce | None
) -> dict[str, Any] | None:
    """Say which plan is in force, and of which runs it is."""
    if in_force is None:
        out.say("no plan is known to be in force; `testbed deploy` puts one there")
        return None
    plan = in_force.plan
    runs = runs_of_plan(plan.digest)
    whose = f"of run {', '.join(runs)}" if runs else "of no run here"
    out.say(f"in force: plan {plan.policy} {whose}, as version {plan.version}")
    if work.run is not None and work.has(FileKind.PLAN) and work.run.name not in runs:
        out.say(f"that of run {work.run.name} is not: `testbed deploy{work.words}` puts it there")
    return {
        "policy": plan.policy, "digest": plan.digest, "version": plan.version,
        "routing": str(in_force.routing), "runs": list(runs),
    }  # fmt: skip


def _tell_links(out: VerbOutput, snapshots: Mapping[str, NodeSnapshot]) -> list[dict[str, Any]]:
    """Say which links are not as the topology has them."""
    told = []
    for source, seen in snapshots.items():
        for target, condition in seen.link_conditions.items():
            out.say(
                f"the link {link_name(source, target)} is {condition}; `testbed link` changes it"
            )
            told.append({"source": source, "target": target, **condition_data(condition)})
    return told


def _tell_measured(
    out: VerbOutput, in_force: PlanInForce | None, topology: Topology
) -> dict[str, dict[str, dict[str, float]]] | None:
    """Say what the live loop has measured of links and devices while the plan is in force."""
    if in_force is None:
        return None
    from serving.replan.estimate.calibration import measured_rtt_s
    from serving.replan.loop_state import load_state, loop_process, state_file

    folder = state_path().parent
    file = state_file(folder)
    state = load_state(file, in_force.plan.version)
    if state is None:
        return None
    plans = "plans"
    if loop_process(folder) is None:
        plans = f"ended {time.time() - file.stat().st_mtime:.0f} s ago and planned"
    told: dict[str, dict[str, dict[str, float]]] = {}
    for kind, what, ratios in (
        ("devices", "batches took {:.2f} times as long as profiled", state.calibration.devices),
        ("links", "carried {:.2f} of the bandwidth that is stated", state.calibration.links),
    ):
        told[kind] = {
            name: {"value": ratio.value, "looks": len(ratio.recent), "used": ratio.used}
            for name, ratio in ratios.items()
        }
        for name, ratio in ratios.items():
            if ratio.used != 1.0:
                out.say(
                    f"{name}: {what.format(ratio.value)}; the live loop {plans} with {ratio.used:g}"
                )
    links = with_links(topology, in_force.plan.links).links
    stated_s = {link.name: link.rtt_s for link in links}
    told["round_trips"] = {}
    for name, ratio in state.calibration.round_trips.items():
        rtt_s, used_s = (measured_rtt_s(r, stated_s[name]) for r in (ratio.value, ratio.used))
        told["round_trips"][name] = {
            "value_s": rtt_s, "looks": len(ratio.recent), "used_s": used_s,
        }  # fmt: skip
        if ratio.used != 1.0:
            out.say(
                f"{name}: the round trip takes {1e3 * rtt_s:.3g} ms, {1e3 * stated_s[name]:.3g} ms "
                f"are stated; the live loop {plans} with {1e3 * used_s:.3g} ms"
            )
    return told


def _judge_now(
    out: VerbOutput,
    fleet: Fleet | None,
    before: Mapping[str, NodeSnapshot],
    planned: PlannedFor,
    over_s: float,
) -> tuple[Verdict, ...]:
    """Look again after `over_s` seconds, and say what of the plan's predictions holds."""
    from serving.verdicts.between_looks import judge_looks

    if fleet is None:
        raise ClusterError("no plan is in force; run `testbed deploy` first")
    host = read_host_times()
    with out.busy(f"waiting for {over_s:g} s"):
        time.sleep(over_s)
    after = fleet.snapshots()
    verdicts = judge_looks(before, after, planned, host_use(host, read_host_times()))
    tell_verdicts(out, verdicts)
    return verdicts


VERBS = (up, down, status)

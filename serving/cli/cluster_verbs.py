"""Verbs of the cluster: up, down, status, profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cluster.providers import local
from cluster.providers.state import find_cluster
from cluster.specs import SPECS
from cluster.topology import Topology
from models.zoo.registry import find_model
from profiling.published import refuse_unpublished
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json, models_of
from serving.cli.options import PORT, PROFILE_S, number
from serving.cli.output import check_output, save_result

__all__ = ["VERBS"]


def up(
    topology: Annotated[Path, typer.Argument(help="topology YAML")] = SPECS / "demo.yaml",
    port: Annotated[
        int | None, number(PORT, help="port of Ray's head; default: a free one")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a Ray cluster with one resource per node of the topology."""
    out = VerbOutput(as_json)
    wanted = Topology.load(topology)
    refuse_unpublished(wanted)
    with out.busy(f"starting cluster {wanted.name!r} with {len(wanted.nodes)} nodes"):
        state = local.up(wanted, port=port, say=out.say)
    out.say(f"cluster [bold]{wanted.name}[/] is up at {state.address}; `testbed down` ends it")
    out.result({"topology": wanted.name, "address": state.address, "pid": state.head_pid})


def down(as_json: Json = False) -> None:
    """End the cluster and everything that runs in it."""
    out = VerbOutput(as_json)
    ended = local.down(out.say)
    out.say("the cluster is down" if ended else "no cluster was up")
    out.result({"ended": ended})


def status(as_json: Json = False) -> None:
    """What is up: nodes, plan version, models, endpoints."""
    out = VerbOutput(as_json)
    state = find_cluster()
    if state is None or not state.alive:
        out.say("no cluster is up; start one with `testbed up`")
        out.result({"up": False})
        return
    local.connect()
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    snapshots = fleet.snapshots() if fleet else {}
    endpoints = fleet.endpoints() if fleet else {}
    table = Table("node", "tier", "device", "plan", "models", "answered", "HTTP", "gRPC")
    rows = []
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
        }
        rows.append(row)
        table.add_row(
            node.name,
            str(node.tier),
            str(node.device),
            str(row["plan_version"]) if seen else "not deployed",
            ", ".join(seen.models) if seen else "",
            str(row["answered"]),
            str(row["url"]),
            str(row["grpc"]),
        )
    out.table(table)
    out.result(
        {"up": True, "topology": state.topology.name, "address": state.address, "nodes": rows}
    )
    local.disconnect()


def profile(
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/profiles.json"),
    benchmark: Annotated[str, typer.Option(help="models trained on this benchmark")] = "rooms",
    model: Annotated[list[str] | None, typer.Option(help="these models instead; repeat")] = None,
    seconds: Annotated[float, number(PROFILE_S, help="time per model and batch size")] = 0.25,
    as_json: Json = False,
) -> None:
    """Measure a benchmark's models on the nodes of the running cluster."""
    out = VerbOutput(as_json)
    check_output(output)
    cards = tuple(find_model(name) for name in model) if model else models_of(benchmark)
    state = local.connect()
    from serving.deploy.profile_nodes import profile_cluster

    with out.progress("profiling") as advance:
        profiles = profile_cluster(state.topology, cards, target_s=seconds, on_progress=advance)
    save_result(profiles.save, output)
    local.disconnect()
    table = Table(
        "model", "measured on", "emulates", "ν ms", "c ms", "residual", "weights MiB", "load s"
    )
    shown = set()
    for entry in profiles.profiles:
        emulated = entry.emulated
        row = (entry.model, entry.measured_on, emulated.device if emulated else None)
        if row not in shown:
            shown.add(row)
            error = f" ± {emulated.error:.0%}" if emulated and emulated.error is not None else ""
            table.add_row(
                entry.model,
                entry.measured_on,
                f"{emulated.device}{error}" if emulated else "",
                f"{entry.setup_s * 1e3:.1f}",
                f"{entry.marginal_s * 1e3:.1f}",
                f"{entry.residual:.1%}",
                f"{entry.weights_bytes / 2**20:.1f}",
                f"{entry.load_s:.1f}",
            )
    out.table(table)
    out.wrote(output)
    out.result(
        {"profiles": str(output), "models": len(cards), "measured": len({row[:2] for row in shown})}
    )


VERBS = (up, down, status, profile)

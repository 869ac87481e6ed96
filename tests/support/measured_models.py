"""Measurements that nobody took: of models with a stated law, as `testbed profile` keeps them."""

from __future__ import annotations

from cluster.topology import Topology
from models.zoo.registry import find_model
from profiling.batch_latency import MeasuredBatch
from profiling.cache import origin_of
from profiling.interference import Interference
from profiling.measure import profile_of
from profiling.measured import Hardware, MeasuredModel
from profiling.profile import Profiles
from profiling.sampling import SamplingRule
from support.demo_setting import PROVENANCE

__all__ = [
    "HARDWARE", "VERSIONS", "measured_batch", "measured_model", "measured_profiles", "on_one_host",
]  # fmt: skip

HARDWARE = Hardware(processor="a processor", cores=2, accelerator="cpu", threads=1)
VERSIONS = {"python": "3.11", "torch": "2.9"}
SIZES = (1, 2, 4, 8, 16)
MAX_BATCHES = (2, 16)


def measured_batch(batch: int, p50_s: float, *, half: float = 0.02) -> MeasuredBatch:
    """Median `p50_s`, known to `half` of itself on either side."""
    return MeasuredBatch(
        batch=batch, p50_s=p50_s, p95_s=1.1 * p50_s, p99_s=1.2 * p50_s, runs=9,
        straight_p50_s=0.9 * p50_s, low_s=(1 - half) * p50_s, high_s=(1 + half) * p50_s,
        first_s=2 * p50_s, settled=True,
    )  # fmt: skip


def measured_model(
    model: str, node: str = "edge-0", setup_s: float = 0.005, marginal_s: float = 0.002
) -> MeasuredModel:
    """A model of the zoo that takes nu + c b at every size."""
    origin = origin_of(find_model(model), HARDWARE, VERSIONS, SIZES, MAX_BATCHES, SamplingRule())
    return MeasuredModel(
        model=model, measured_on=node, taken_at="2026-01-01T00:00:00+00:00", origin=origin,
        latency=tuple(measured_batch(size, setup_s + marginal_s * size) for size in SIZES),
        weights_bytes=2_000_000,
        workspace_bytes=dict(zip(MAX_BATCHES, (400_000, 3_000_000), strict=True)),
        rss_bytes=5_500_000, load_s=1.0, warm_up_s=0.1,
    )  # fmt: skip


def measured_profiles(topology: Topology, *measured: MeasuredModel) -> Profiles:
    """Profiles of every node from what was measured on one of them."""
    return Profiles(
        topology=topology.name,
        measured=measured,
        profiles=tuple(
            profile_of(each, node=node.name, measured_on=each.measured_on, max_batch=node.max_batch)
            for node in topology.nodes
            for each in measured
        ),
        provenance=PROVENANCE,
    )


def on_one_host(
    profiles: Profiles, *, cores: int, threads: int = 1, accelerator: str = "cpu"
) -> Profiles:
    """`profiles` with all nodes on one host that has so many cores."""
    nodes = sorted({profile.node for profile in profiles.profiles})
    hardware = HARDWARE.model_copy(
        update={"cores": cores, "threads": threads, "accelerator": accelerator}
    )
    measured = measured_model("rooms-small-depth", nodes[0])
    assert measured.origin is not None
    origin = measured.origin.model_copy(update={"hardware": hardware})
    group = Interference(
        measured_on=nodes[0], rows=(), neighbours_busy=dict.fromkeys(nodes, 0.5)
    )  # fmt: skip
    return profiles.model_copy(
        update={
            "measured": (measured.model_copy(update={"origin": origin}),),
            "interference": (group,),
        }
    )

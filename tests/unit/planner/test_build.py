"""Problems are built from what was measured, name by name."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.demand import Phase
from cluster.provenance import Provenance
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from planner.build import build_problem
from planner.policies import solve
from planner.problem import Problem, ProblemError
from profiling.interference import BusyRatio, Interference
from profiling.profile import Profiles

TOPOLOGY = Topology.parse(
    {
        "name": "pair",
        "nodes": [
            {"name": "phone", "tier": "client", "memory": "20MB", "compute": 0.5, "window_s": 0.1},
            {"name": "box", "tier": "edge", "memory": "40MB", "compute": 1.0, "window_s": 0.2},
            {"name": "hall", "tier": "cloud", "memory": "60MB", "compute": 0.9, "window_s": 0.2},
        ],
        "links": [
            {"source": "phone", "target": "box", "bandwidth": "1MB"},
            {"source": "box", "target": "hall", "bandwidth": "2MB", "budget_share": 0.5},
        ],
    }
)
PHASE = Phase(duration_s=10, rates_qps={"phone": {"depth": 3.0, "edges": 2.0}})
PROVENANCE = Provenance(
    created_at="2026-01-01T00:00:00+00:00", command="test", commit="none", host="here",
    processor="none", cores=1, versions={},
)  # fmt: skip


def card(name: str, **accuracy: float) -> ModelCard:
    metrics = {task: {"value": v, "half_width": 0.0, "images": 1} for task, v in accuracy.items()}
    fixed: dict[str, Any] = {
        "benchmark": "rooms", "backbone": "net", "size_class": "small", "parameters": 1,
        "preprocessing": {"height": 1, "width": 1, "mean": (0, 0, 0), "std": (1, 1, 1)},
        "checkpoint": "x", "checkpoint_sha256": "x", "steps": 1, "seed": 0, "pretrained": "none",
        "train_command": "x", "licence": "x",
    }  # fmt: skip
    return ModelCard.parse({"name": name, "tasks": tuple(accuracy), "metrics": metrics, **fixed})


CARDS = (card("small", depth=0.6), card("both", depth=0.9, edges=0.8), card("twin", edges=0.8))


def measured(*medians_s: float) -> list[dict[str, Any]]:
    """What batches of 1, 2, 4, ... queries took."""
    return [
        {"batch": 2**k, "p50_s": median_s, "p95_s": 2 * median_s, "runs": 1}
        for k, median_s in enumerate(medians_s)
    ]


def profile(node: str, model: str, megabytes: float, marginal_s: float) -> dict[str, Any]:
    return {
        "model": model, "node": node, "measured_on": node, "residual": 0.0, "load_s": 1.0,
        "latency": measured(0.01 + marginal_s), "setup_s": 0.01,
        "marginal_s": marginal_s, "weights_bytes": int(megabytes * 1e6), "workspace_bytes": 0,
    }  # fmt: skip


def profiles(topology: str = "pair") -> Profiles:
    nodes = {"phone": ("small",), "box": ("small", "both"), "hall": ("small", "both", "twin")}
    sizes = {"small": (5, 0.01), "both": (30, 0.04), "twin": (25, 0.02)}
    rows = tuple(profile(n, m, *sizes[m]) for n, models in nodes.items() for m in models)
    return Profiles.parse(
        {"topology": topology, "profiles": rows, "provenance": PROVENANCE.model_dump()}
    )


def build(phase: Phase = PHASE, **changes: Any) -> Problem:
    sizes = {"depth": 100.0, "edges": 50.0}
    options: dict[str, Any] = {"query_bytes": sizes, "answer_bytes": sizes, **changes}
    return build_problem(TOPOLOGY, CARDS, profiles(), phase, **options)


def test_dispersion_and_the_links_themselves_arrive() -> None:
    problem = build()
    assert problem.dispersion_c.tolist() == [1.0]
    assert (problem.bandwidth_a.tolist(), problem.backlog_a.tolist()) == ([1e6], [0.1])
    assert problem.edge_bandwidth_e.tolist() == [2e6]
    assert problem.edge_backlog_e.tolist() == [0.2]
    stated = {"dispersion": {"phone": 40.0}, "burst_correlation": 0.3}
    phase = Phase.model_validate({"duration_s": 10, "rates_qps": {}, **stated})
    assert build(phase).dispersion_c.tolist() == [40.0]
    assert (problem.burst_correlation, build(phase).burst_correlation) == (0.0, 0.3)


def test_names_budgets_and_costs_arrive() -> None:
    problem = build()
    assert problem.tasks == ("depth", "edges")
    assert problem.load_ct.tolist() == [[3.0, 2.0]]
    assert problem.client_memory_c.tolist() == [20e6]
    assert problem.edge_uplink_e.tolist() == [1e6]  # half of the bandwidth
    assert problem.client_model_bytes_cm.tolist() == [[5e6, float("inf"), float("inf")]]
    assert problem.edge_marginal_em[0, 1] == 0.04
    assert problem.cloud_compute == 0.9
    assert solve(problem, "baj3o").evaluation.feasible


def test_the_cloud_serves_each_task_with_its_best_model_and_the_cheaper_of_equals() -> None:
    problem = build()
    assert [problem.models[m] for m in problem.cloud_model_t] == ["both", "twin"]
    assert problem.cloud_cost_t.tolist() == pytest.approx([0.05, 0.03])


def test_a_client_with_two_links_has_two_attachments() -> None:
    data = TOPOLOGY.model_dump(mode="json")
    box = next(node for node in data["nodes"] if node["name"] == "box")
    data["nodes"].append({**box, "name": "shed"})
    data["links"] += [
        {"source": "phone", "target": "shed", "bandwidth": "3MB", "rtt_s": 0.2},
        {"source": "shed", "target": "hall", "bandwidth": "2MB"},
    ]
    sizes = {"depth": 100.0, "edges": 50.0}
    problem = build_problem(
        Topology.parse(data), CARDS, profiles(), PHASE, query_bytes=sizes, answer_bytes=sizes
    )
    assert problem.client_of_a.tolist() == [0, 0]
    assert problem.edge_of_a.tolist() == [0, 1]
    assert problem.uplink_a.tolist() == pytest.approx([0.7e6, 2.1e6])
    assert problem.client_uplink_c.tolist() == pytest.approx([2.8e6])
    assert problem.rtt_a.tolist() == [0.0, 0.2]
    assert build().uplink_a.tolist() == [float("inf")]


def test_a_model_without_a_profile_cannot_run_there() -> None:
    assert "both" not in solve(build(), "exact").plan.onloading["phone"]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"rates_qps\.phne: unknown; did you mean 'phone'"):
        build(Phase(duration_s=1, rates_qps={"phne": {"depth": 1.0}}))
    with pytest.raises(ProblemError, match=r"rates_qps\.phone\.dept: unknown"):
        build(Phase(duration_s=1, rates_qps={"phone": {"dept": 1.0}}))
    with pytest.raises(ProblemError, match=r"dispersion\.phne: unknown; did you mean 'phone'"):
        build(Phase(duration_s=1, rates_qps={}, dispersion={"phne": 2.0}))
    with pytest.raises(ProblemError, match=r"answer_bytes\.edges: unknown"):
        build(answer_bytes={"depth": 1.0})
    with pytest.raises(ProblemError, match="measured for 'other'"):
        build_problem(TOPOLOGY, CARDS, profiles("other"), PHASE, query_bytes={}, answer_bytes={})


def test_a_deadline_class_is_a_task_of_its_own_behind_its_task() -> None:
    rates = {"depth": 2.0, "depth@fast": 1.0, "edges": 2.0}
    deadline_s = {"depth@fast": 0.1, "edges": 0.7}
    problem = build(Phase(duration_s=10, rates_qps={"phone": rates}), deadline_s=deadline_s)
    assert problem.tasks == ("depth", "depth@fast", "edges")
    assert problem.load_ct.tolist() == [[2.0, 1.0, 2.0]]
    assert problem.deadline_t.tolist() == [float("inf"), 0.1, 0.7]
    assert problem.query_bytes_t.tolist() == [100.0, 100.0, 50.0]
    assert problem.accuracy_mt[:, 0].tolist() == problem.accuracy_mt[:, 1].tolist() == [0.6, 0.9, 0]
    assert problem.cloud_model_t.tolist()[:2] == [1, 1]
    assert solve(problem, "certified").plan.deadlines_s == deadline_s
    assert build().digest == build(deadline_s={}).digest


def test_classes_that_nobody_knows_are_refused() -> None:
    fast = Phase(duration_s=1, rates_qps={"phone": {"depth@fast": 1.0}})
    with pytest.raises(ProblemError, match=r"rates_qps\.phone\.depth@fast: no deadline of this"):
        build(fast)
    with pytest.raises(ProblemError, match=r"deadlines_s\.dept: unknown; did you mean 'depth'"):
        build(deadline_s={"dept@fast": 0.1})
    with pytest.raises(ProblemError, match=r"query_bytes\.a@b: '@' in a name stands before"):
        build(query_bytes={"a@b": 1.0}, answer_bytes={"a@b": 1.0})


def bundled(**bundle: Any) -> Phase:
    stated = {"client": "phone", "tasks": ["edges", "depth"], "qps": 4.0, **bundle}
    return Phase.model_validate({**PHASE.model_dump(), "bundles": [stated]})


def test_bundles_arrive() -> None:
    problem = build(bundled())
    assert problem.load_ct.tolist() == [[7.0, 6.0]]
    assert problem.bundle_bt.tolist() == [[1.0, 1.0]]
    assert problem.bundle_load_cb.tolist() == [[4.0]]
    assert build(bundled(qps=0.0)).digest == build().digest
    with pytest.raises(ProblemError, match=r"^bundles\.0\.tasks\.egdes: unknown; did you mean"):
        build(bundled(tasks=["egdes", "depth"]))


def build_measured(*medians_s: float, largest: int = 32) -> Problem:
    """With nu + c b = 0.01 + 0.04 b fitted to `both`, which took so long on every node."""
    rows = [
        {**profile(node, "both", 10, 0.04), "latency": measured(*medians_s)}
        for node in ("phone", "box", "hall")
    ]
    data = {"topology": "pair", "profiles": rows, "provenance": PROVENANCE.model_dump()}
    topology = TOPOLOGY.model_dump(mode="json")
    box = next(node for node in topology["nodes"] if node["name"] == "box")
    box["max_batch"] = largest
    sizes = {"depth": 100.0, "edges": 50.0}
    return build_problem(
        Topology.parse(topology), CARDS, Profiles.parse(data), PHASE,
        query_bytes=sizes, answer_bytes=sizes,
    )  # fmt: skip


def test_edges_have_the_times_that_were_measured_up_to_their_largest_batch() -> None:
    problem = build_measured(0.06, 0.08, 0.2, largest=3)
    assert problem.curve_sizes_z.tolist() == [1.0, 2.0, 3.0]
    assert problem.edge_curve_emz[0, 1] == pytest.approx([0.06, 0.08, 0.14])
    assert not problem.edge_curve_emz[0, [0, 2]].any()  # models without a profile there
    # Beyond what was measured a batch goes on with slope c, as in the simulator.
    beyond = build_measured(0.06, 0.08, 0.2, largest=8)
    assert beyond.curve_sizes_z.tolist() == [1.0, 2.0, 4.0, 8.0]
    assert beyond.edge_curve_emz[0, 1, 3] == pytest.approx(0.2 + 4 * 0.04)
    assert beyond.edge_setup_em[0, 1] == 0.01


def test_a_larger_batch_that_took_less_counts_as_the_smaller_one() -> None:
    problem = build_measured(0.06, 0.09, 0.08)
    assert problem.edge_curve_emz[0, 1, :3] == pytest.approx([0.06, 0.09, 0.09])


def test_clients_and_the_cloud_take_what_one_query_was_measured_to_take() -> None:
    problem = build_measured(0.06, 0.08, 0.2)
    alone_s = problem.client_setup_cm[0, 1] + problem.client_marginal_cm[0, 1]
    assert alone_s == pytest.approx(0.06)
    assert problem.cloud_cost_t == pytest.approx([0.06, 0.06])
    # Less than the set-up that was fitted.
    quick = build_measured(0.004, 0.08, 0.2)
    assert (quick.client_setup_cm[0, 1], quick.client_marginal_cm[0, 1]) == (0.004, 0.0)


def test_times_on_the_line_need_no_curve() -> None:
    problem = build_measured(0.05, 0.09, 0.17, 0.33)
    assert not problem.curved
    assert not build().curved
    assert (problem.client_setup_cm[0, 1], problem.client_marginal_cm[0, 1]) == (0.01, 0.04)


def test_plans_keep_to_the_compute_that_the_topology_states_whatever_neighbours_take() -> None:
    row = BusyRatio(
        model="small", batch=1, beside="node", neighbour="both", ratio=1.5, low=1.4, high=1.6
    )
    table = Interference(measured_on="box", rows=(row,), neighbours_busy={"box": 0.5})
    beside = profiles().model_copy(update={"interference": (table,)})
    assert beside.compute_share("box") == pytest.approx(0.8)
    sizes = {"depth": 100.0, "edges": 50.0}
    problem = build_problem(TOPOLOGY, CARDS, beside, PHASE, query_bytes=sizes, answer_bytes=sizes)
    assert problem.edge_compute_e.tolist() == build().edge_compute_e.tolist()
    assert problem.cloud_compute == build().cloud_compute

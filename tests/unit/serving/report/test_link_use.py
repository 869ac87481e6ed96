"""What a plan sends up each link, held against the planner's own F7, and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.specs import SPECS
from cluster.topology import Topology
from planner.evaluate import evaluate
from planner.plan import Plan, Route, allocation_of
from planner.policies import solve
from serving.report.link_use import PlannedLink, link_uses
from serving.report.placement import build_placement
from serving.report.placement_picture import amounts_of, draw_placement
from serving.report.tables import link_rows
from serving.setting.setting import Setting
from support.demo_setting import demo_demand, demo_profiles, demo_setting
from support.report_page import LINKS
from support.synthetic_run import Synthetic


def test_links_carry_what_the_planner_counts_against_their_budgets() -> None:
    setting = demo_setting()
    problem = setting.problem(demo_demand().phases[0])
    plan = solve(problem, "baj3o").plan
    usage = evaluate(problem, allocation_of(problem, plan), fill=plan.fill).usages["F7"]
    links = link_uses(setting.topology, problem, plan)
    assert [link.source for link in links] == list(usage.names)
    assert [link.planned_bytes_per_s for link in links] == pytest.approx(usage.use_n.tolist())
    assert [link.budget_bytes_per_s for link in links] == pytest.approx(usage.budget_n.tolist())
    assert max(link.share for link in links) > 0.5


def test_a_client_of_two_edges_has_a_use_of_each_link() -> None:
    base = demo_setting()
    topology = Topology.load(SPECS / "two-edges.yaml")
    setting = Setting(topology, base.cards, demo_profiles(topology, base.cards))
    problem = setting.problem(Phase(duration_s=1, rates_qps={"client-0": {"depth": 10.0}}))
    route = Route(
        client="client-0", task="depth", tier="cloud", node="cloud", model="rooms-large-all",
        share=0.5, via="edge-1",
    )  # fmt: skip
    plan = Plan(problem_digest=problem.digest, policy="by hand", onloading={}, routes=(route,))
    used = {link.name: link.planned_bytes_per_s for link in link_uses(topology, problem, plan)}
    (c,), (t,) = (
        np.flatnonzero(np.array(names) == name)
        for names, name in ((problem.clients, "client-0"), (problem.tasks, "depth"))
    )
    sent = 0.5 * problem.load_ct[c, t] * problem.query_bytes_t[t]
    assert used["client-0 to edge-1"] == pytest.approx(sent)
    assert used["edge-1 to cloud"] == pytest.approx(sent)
    assert used["client-0 to edge-0"] == used["edge-0 to cloud"] == 0


def test_the_picture_says_what_each_link_uses_and_frames_the_full_one(made: Synthetic) -> None:
    placement = build_placement(made.topology, made.plan, made.phase, made.profiles, LINKS)
    svg = draw_placement(placement)
    assert "61 of 245 KB/s · 25%" in svg
    assert "245 of 245 KB/s · full" in svg
    assert "1.4 of 2.1 MB/s · 67%" in svg
    assert svg.count('class="gauge"') == 4
    assert svg.count('class="use full"') == 1
    without = build_placement(made.topology, made.plan, made.phase, made.profiles)
    assert "gauge" not in draw_placement(without)


def test_a_link_that_a_plan_overloads_is_no_full_one() -> None:
    link = PlannedLink("a", "b", 300.0, 250.0)
    assert amounts_of(link) == ("300 B/s", "250 B/s")
    assert link.full
    assert link.share == pytest.approx(1.2)


def test_measured_bytes_stand_beside_planned_ones(made: Synthetic) -> None:
    run = made.measurements.run.model_copy(
        update={"link_bytes": {"client-0 to edge-0": 9000}, "duration_s": 90.0}
    )
    first, second = link_rows(LINKS, run)[:2]
    assert first.measured_bytes_per_s == 100.0
    assert first.measured_share == pytest.approx(100 / 245e3)
    assert second.measured_bytes_per_s is None

"""`testbed link` and `testbed net check`, on a fleet that remembers what it was told."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.providers import ray_driver
from cluster.specs import SPECS
from cluster.topology import Topology
from planner.plan import Plan
from planner.policies import solve
from serving.cli import inputs, link_verbs
from serving.cli.main import run
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits
from serving.node.snapshot import LinkUse
from serving.runs.manifest import FileKind
from serving.runs.run_folder import RunFolder
from serving.setting.setting import Setting
from support.demo_setting import demo_demand, demo_setting
from support.run_files import newest_run, put_run

FIRST = ("client-0", "edge-0")


@cache
def setting() -> Setting:
    return demo_setting()


class Fleet:
    """Links that are half as fast as they are stated to be; those that are cut give no answer."""

    def __init__(self) -> None:
        self.topology = Topology.load(SPECS / "demo.yaml")
        self.set_to: dict[tuple[str, str], LinkCondition] = {}
        self.limits: list[ProbeLimits] = []

    def link_condition(self, source: str, target: str) -> LinkCondition:
        return self.set_to.get((source, target), LinkCondition())

    def set_link(self, source: str, target: str, condition: LinkCondition) -> None:
        self.set_to[source, target] = condition

    def probe_link(self, source: str, target: str, limits: ProbeLimits) -> LinkProbe:
        self.limits.append(limits)
        if self.link_condition(source, target).is_cut:
            return LinkProbe(fault="it is cut")
        stated = next(
            link for link in self.topology.links if (link.source, link.target) == (source, target)
        )
        return LinkProbe(stated.bytes_per_s / 2, stated.rtt_s + 0.001, 9_000, 1_000)

    def snapshots(self) -> dict[str, Any]:
        return {
            node.name: SimpleNamespace(
                links={link.target: LinkUse(1_500_000, 1.0)
                       for link in self.topology.uplinks(node.name)},
                link_conditions={
                    target: condition for (source, target), condition in self.set_to.items()
                    if source == node.name and not condition.is_as_stated
                },
            )
            for node in self.topology.nodes
        }  # fmt: skip


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = Fleet()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    state = SimpleNamespace(topology=fleet.topology)
    monkeypatch.setattr(ray_driver, "connect", lambda: state)
    monkeypatch.setattr(ray_driver, "disconnect", lambda: None)
    monkeypatch.setattr(link_verbs, "running_fleet", lambda _: fleet)
    return fleet


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_link_is_set_cut_and_restored(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["link", "set", *FIRST, "--bandwidth", "100KB", "--json"]) == 0
    assert told(capsys)["now"] == "at 100 KB/s"
    assert run(["link", "set", *FIRST, "--rtt", "0.02", "--json"]) == 0  # the bandwidth stays
    assert told(capsys)["set_bytes_per_s"] == 100_000
    assert fleet.link_condition(*FIRST) == LinkCondition(bytes_per_s=100_000, rtt_s=0.02)
    assert run(["link", "cut", *FIRST]) == 0
    assert "the link client-0 to edge-0 is cut now" in capsys.readouterr().out
    assert fleet.link_condition(*FIRST).is_cut
    assert run(["link", "restore", *FIRST, "--json"]) == 0
    assert told(capsys)["now"] == "as the topology has it"
    assert fleet.link_condition(*FIRST).is_as_stated


def test_all_links_are_listed_with_what_they_are_set_to(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.set_link(*FIRST, LinkCondition(share=0.0))
    assert run(["link", "list", "--json"]) == 0
    rows = told(capsys)["links"]
    assert [row["now"] for row in rows] == ["cut", *["as the topology has it"] * 3]
    assert rows[0]["bytes_per_s"] == 400_000
    assert rows[0]["sent_bytes"] == 1_500_000
    assert run(["link", "list"]) == 0
    assert "400 KB/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["edge-0", "client-0"], "no link leads from edge-0 to client-0; did you mean client-0 to"),
        (["client-0", "edge-1"], "no link leads from client-0 to edge-1; did you mean"),
    ],
)
def test_a_link_that_is_not_there_is_refused(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(["link", "cut", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not fleet.set_to


def test_links_are_measured_and_planned_with(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(inputs, "list_models", lambda *_: setting().cards)
    plan = solve(setting().problem(demo_demand().phases[0]), "all-edge").plan
    first: RunFolder = put_run(tmp_path, setting(), plan)
    assert run(["net", "check", "--most", "1", "--seconds", "0.5", "--json"]) == 0
    found = told(capsys)
    assert found["run"] == first.name
    assert fleet.limits[0] == ProbeLimits(most_bytes=2**20, most_s=0.5)
    assert [link["bytes_per_s"] for link in found["links"]] == [200e3, 175e3, 175e3, 200e3]
    command = ["plan", "--policy", "all-edge", "--demand", str(SPECS / "demo-demand.yaml")]
    assert run([*command, "--links", "measured"]) == 0
    planned = newest_run(tmp_path)
    made = Plan.load(planned.folder / "plan.json")
    assert {name: link.bytes_per_s for name, link in made.links.items()} == {
        "client-0 to edge-0": 200e3, "client-1 to edge-0": 175e3,
        "client-2 to edge-0": 175e3, "edge-0 to cloud": 200e3,
    }  # fmt: skip
    assert made.digest != plan.digest
    own = setting().as_planned(made)
    assert own.problem(demo_demand().phases[0]).digest == made.problem_digest
    assert run(["evaluate"]) == 0
    assert run(["simulate", "--phase", "0", "--duration", "2"]) == 0
    capsys.readouterr()
    # Measured anew, the links are not those of that plan. What is not made from them comes along.
    assert run(["net", "check", "--json"]) == 0
    begun = newest_run(tmp_path)
    assert begun.name == told(capsys)["run"] != planned.name
    kinds = {FileKind.TOPOLOGY, FileKind.PROFILES, FileKind.DEMAND, FileKind.LINKS}
    assert begun.manifest.files.keys() == kinds
    assert run(["plan", "--policy", "all-edge", "--links", "measured"]) == 0


def test_a_link_that_could_not_be_measured_is_told_by_the_exit_code_and_not_planned_with(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.set_link(*FIRST, LinkCondition(share=0.0))
    assert run(["net", "check", "-o", "links.json"]) == 3
    out = capsys.readouterr().out
    assert "it is cut" in out
    assert "beside 1 KB" in out
    setting().profiles.save("profiles.json")
    command = ["plan", "--profiles", "profiles.json", "--topology", str(SPECS / "demo.yaml")]
    assert run([*command, "--links", "links.json"]) == 2
    err = capsys.readouterr().err
    assert "links.json: the link client-0 to edge-0 was not measured: it is cut" in err

"""A Ray cluster of the user's: which of its Ray nodes a node is placed on, and what stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import InputError, UnknownNameError
from cluster.provider_choice import AttachChoice, LocalChoice, NetnsChoice, choice_of
from cluster.providers.attach import PROVIDER, _driver_host
from cluster.providers.ray_names import placed_at, resource_of
from cluster.providers.ray_nodes import RayNodeSeen, place_nodes
from cluster.providers.records import AttachRecord
from cluster.providers.software import Software, software_fault
from cluster.providers.state import ClusterError
from cluster.specs import SPECS
from cluster.topology import Topology

DEMO = Topology.load(SPECS / "demo.yaml")
NODES = [node.name for node in DEMO.nodes]


def attached(**match: dict[str, str]) -> Topology:
    block = AttachChoice(
        address="10.0.0.1:6379",
        match={name.replace("_", "-"): each for name, each in match.items()},
    )
    return DEMO.model_copy(update={"provider": block})


def seen(name: str, *nodes: str, **labels: str) -> RayNodeSeen:
    return RayNodeSeen(name, f"10.0.0.{name}", {resource_of(node): 1.0 for node in nodes}, labels)


def test_nodes_are_found_by_their_resource_or_by_labels() -> None:
    topology = attached(client_0={"place": "lab"}, client_1={"place": "lab"})
    places = place_nodes(topology, [seen("1", *NODES[2:]), seen("2", place="lab", other="x")])
    assert {node: place.id for node, place in places.items()} == {
        "client-0": "2", "client-1": "2", "client-2": "1", "edge-0": "1", "cloud": "1",
    }  # fmt: skip
    assert placed_at(topology, "client-0", 0.5) == {"label_selector": {"place": "lab"}}
    assert placed_at(topology, "cloud", 0.5) == {"resources": {"testbed-cloud": 0.5}}


def test_all_that_is_missing_or_not_settled_is_said_node_by_node() -> None:
    topology = attached(client_0={"place": "lab"})
    twice = [seen("1", *NODES[1:], place="lab"), seen("2", "edge-0", place="lab")]
    with pytest.raises(ClusterError) as told:
        place_nodes(topology, [*twice, seen("3")])
    words = str(told.value)
    assert "of 3 Ray nodes" in words
    assert "client-0: 10.0.0.1, 10.0.0.2 has labels place=lab" in words
    assert "edge-0: 10.0.0.1, 10.0.0.2 has resource testbed-edge-0" in words
    assert "cloud" not in words.partition(";")[2].partition("start them")[0]
    with pytest.raises(ClusterError, match="cloud: no Ray node has resource testbed-cloud"):
        place_nodes(DEMO, [])


@pytest.mark.parametrize(
    ("block", "kind", "address", "found"),
    [
        (None, None, None, LocalChoice()),
        (NetnsChoice(), None, None, NetnsChoice()),
        (NetnsChoice(), "local", None, LocalChoice()),
        (None, None, "h:1", AttachChoice(address="h:1")),
        (AttachChoice(address="a:1", match={"cloud": {"x": "y"}}), None, "h:1",
         AttachChoice(address="h:1", match={"cloud": {"x": "y"}})),
    ],
    ids=["none", "block", "option before block", "an address is enough", "address before block's"],
)  # fmt: skip
def test_options_go_before_the_topologys_block(
    block: LocalChoice | None, kind: str | None, address: str | None, found: object
) -> None:
    assert choice_of(block, kind, address) == found


@pytest.mark.parametrize(
    ("kind", "address", "words"),
    [
        ("local", "h:1", "--address: for a Ray cluster that you run"),
        ("attach", None, "needs the HOST:PORT"),
        ("attach", "host", "provider attach: "),
        ("ssh", None, "needs the topology to say which machines"),
    ],
)
def test_what_a_provider_needs_or_does_not_take(kind: str, address: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        choice_of(None, kind, address)


def test_a_provider_that_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="no provider 'k8s'; providers: local, netns"):
        choice_of(None, "k8s")


def test_a_head_that_does_not_answer_and_a_token_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no server answers at 127\.0\.0\.1:1, where the head"):
        PROVIDER.check(DEMO, AttachChoice(address="127.0.0.1:1"))
    with pytest.raises(InputError, match="none: No such file"):
        PROVIDER.check(DEMO, AttachChoice(address="127.0.0.1:1", token_file=tmp_path / "none"))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InputError, match="empty is empty"):
        PROVIDER.check(DEMO, AttachChoice(address="127.0.0.1:1", token_file=tmp_path / "empty"))
    with pytest.raises(InputError, match="client-9"):
        PROVIDER.check(DEMO, AttachChoice(address="127.0.0.1:1", match={"client-9": {"a": "b"}}))


OWN = Software("3.11.7", {"ray": "2.60.0"}, "digest")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"python": "3.12.1"}, "Python 3.12.1 there, 3.11.7 here"),
        ({"versions": {"ray": "2.9.0"}}, "ray 2.9.0 there, 2.60.0 here"),
        ({"code": "", "fault": "No module named 'cluster'"}, "cannot be imported there: No module"),
        ({"code": "other"}, "of another state than here"),
    ],
    ids=["same", "Python", "Ray", "no testbed", "another testbed"],
)
def test_a_ray_node_needs_what_this_process_runs_on(
    changed: dict[str, object], words: str | None
) -> None:
    told = {
        "python": "3.11.2", "versions": {"ray": "2.60.0"}, "code": "digest", "fault": "", **changed,
    }  # fmt: skip
    fault = software_fault(told, OWN)
    assert fault == words if words is None else words in str(fault)


def test_the_driver_is_at_a_ray_node_of_this_machine_or_at_its_address_towards_the_head() -> None:
    local = AttachChoice(address="127.0.0.1:6379")
    assert _driver_host(local, [RayNodeSeen("a", "127.0.0.1", {}, {})]) == "127.0.0.1"
    elsewhere = [RayNodeSeen("a", "203.0.113.5", {}, {})]
    assert _driver_host(local, elsewhere) == "127.0.0.1"
    # 127.0.0.1 in a cluster elsewhere is not this machine
    far = AttachChoice(address="203.0.113.5:6379")
    found = _driver_host(far, [RayNodeSeen("a", "127.0.0.1", {}, {})])
    assert not found.startswith("127.")


@pytest.mark.parametrize(
    ("hosts", "private"), [(("127.0.0.1",), True), (("10.0.0.1", "10.0.0.2"), False)]
)
def test_doors_that_others_reach_ask_for_a_token(hosts: tuple[str, ...], private: bool) -> None:
    record = AttachRecord(
        asks_token=False, folder="/tmp/f", driver_host=hosts[0],
        hosts=dict(zip(NODES, hosts, strict=False)),
    )  # fmt: skip
    assert record.wiring.private is private
    assert record.wiring.folder == "/tmp/f"
    assert record.wiring.hosts == (() if private else hosts)

"""The network of namespaces on paper, and who may make it. Nothing is made here."""

from __future__ import annotations

import ipaddress

import pytest

from cluster.errors import InputError
from cluster.providers.netns_layout import Layout, lay_out, shaping_of
from cluster.providers.netns_rights import missing_rights
from cluster.providers.records import LocalRecord
from cluster.specs import SPECS
from cluster.topology import Topology
from cluster.wiring import Wiring

MARK = "0123456789abcdef"


def demo(taken: tuple[str, ...] = (), spec: str = "demo") -> Layout:
    return lay_out(Topology.load(SPECS / f"{spec}.yaml"), MARK, "/tmp/x", taken)


@pytest.mark.parametrize("spec", ["demo", "two-edges"])
def test_every_address_and_interface_is_one_nodes_own(spec: str) -> None:
    layout = demo(spec=spec)
    topology = Topology.load(SPECS / f"{spec}.yaml")
    assert [space.node for space in layout.spaces] == [node.name for node in topology.nodes]
    assert [(link.source.node, link.target.node) for link in layout.links] == [
        (link.source, link.target) for link in topology.links
    ]
    hosts = [layout.head_host, *(space.host for space in layout.spaces)]
    ends = [host for link in layout.links for host in (link.source_host, link.target_host)]
    assert len({*hosts, *ends}) == len(hosts) + len(ends)
    control = ipaddress.ip_network(f"{layout.head_host}/{layout.prefix_bits}", strict=False)
    assert all(ipaddress.ip_address(host) in control for host in hosts)
    for link in layout.links:  # both ends in a network that no other link has
        pair = ipaddress.ip_network(f"{link.source_host}/30", strict=False)
        inside = [end for end in ends if ipaddress.ip_address(end) in pair]
        assert inside == [link.source_host, link.target_host]


def test_names_on_the_host_are_short_enough_for_the_kernel() -> None:
    layout = demo()
    names = [layout.bridge, *(space.port for space in layout.spaces)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 15 for name in names)


def test_a_network_that_the_host_has_is_left_alone() -> None:
    first = demo().head_host
    second = demo(taken=("10.0.0.1", "fe80::1", first)).head_host
    assert first != second
    assert second.startswith("198.18.")
    with pytest.raises(InputError, match="is in use on this host"):
        demo(taken=tuple(f"198.18.{n}.9" for n in range(256)))


def test_more_nodes_than_addresses_are_refused() -> None:
    topology = Topology.load(SPECS / "demo.yaml")
    client = topology.clients[0]
    many = [client.model_copy(update={"name": f"c{n}"}) for n in range(260)]
    crowd = topology.model_copy(update={"nodes": (*many, *topology.nodes[3:]), "links": ()})
    with pytest.raises(InputError, match="at most 253 nodes"):
        lay_out(crowd, MARK, "/tmp/x", ())


@pytest.mark.parametrize("bandwidth", [1_000.0, 125_000.0, 400_000.0, 12_500_000.0])
def test_the_bucket_lets_the_stated_bytes_through_and_hardly_more(bandwidth: float) -> None:
    shaping = shaping_of(bandwidth)
    stream = shaping.rate_bytes_per_s * 1448 / 1514
    assert 1.0 < stream / bandwidth <= 1.02
    assert shaping.burst_bytes >= 2 * 1514  # a bucket below a frame passes nothing
    assert shaping.burst_bytes / shaping.rate_bytes_per_s <= max(0.0011, 3028 / bandwidth)


def test_the_wiring_says_where_each_node_listens_for_whom() -> None:
    wiring = demo().record.wiring
    topology = Topology.load(SPECS / "demo.yaml")
    assert set(wiring.hosts_below("edge-0")) == {"client-0", "client-1", "client-2"}
    assert set(wiring.hosts_below("cloud")) == {"edge-0"}
    assert wiring.hosts_below("client-0") == {}
    assert all(wiring.laid(link) for link in topology.links)
    assert not any(Wiring().laid(link) for link in topology.links)
    assert LocalRecord().wiring == Wiring()
    assert wiring.private


@pytest.mark.parametrize(
    ("held", "lacking"),
    [
        ("000001ffffffffff", ()),
        ("0000000000000000", ("CAP_NET_ADMIN", "CAP_SYS_ADMIN")),
        ("0000000000001000", ("CAP_SYS_ADMIN",)),
        ("0000000000200000", ("CAP_NET_ADMIN",)),
    ],
)
def test_what_a_process_lacks_is_read_from_its_status(held: str, lacking: tuple[str, ...]) -> None:
    assert missing_rights(f"Name:\tpython\nCapEff:\t{held}\nSeccomp:\t0\n") == lacking

"""The city of the benchmarks: many clients like one of the demo's, planned for and simulated."""

from __future__ import annotations

from city import city_load, city_setting, run_city
from support.demo_setting import demo_setting


def test_a_small_city_is_the_demo_many_times_over_and_is_served() -> None:
    demo = demo_setting()
    city = city_setting(demo, clients=40, edges=4)
    below = [link for link in city.topology.links if link.target == "edge-1"]
    assert (len(city.topology.clients), len(below)) == (40, 10)
    assert below[0].bandwidth == demo.topology.uplink("client-0").bandwidth
    phase = city_load(city, duration_s=30.0)
    found = run_city(city, phase)
    assert abs(found.queries - 60) < 30
    assert found.answered_share > 0.95
    assert found.spent_s > 0
    assert found.parts_s > 0
    assert found.peak_bytes > 2**20

"""Which nodes share the cores of a host, by the profiles that were measured there."""

from __future__ import annotations

import pytest

from profiling.profile import Emulation, Profiles
from profiling.shared_hosts import SharedHost, shared_hosts
from support.demo_setting import demo_setting
from support.measured_models import on_one_host

PROFILES = demo_setting().profiles
NODES = frozenset(profile.node for profile in PROFILES.profiles)


@pytest.mark.parametrize(
    ("cores", "threads", "accelerator", "at_once"),
    [(2, 1, "cpu", 2), (8, 3, "cpu", 2), (1, 4, "cpu", 1), (16, 1, "a GPU", 1)],
)
def test_batches_run_at_once_as_threads_fit_on_cores_and_one_on_a_gpu(
    cores: int, threads: int, accelerator: str, at_once: int
) -> None:
    on = on_one_host(PROFILES, cores=cores, threads=threads, accelerator=accelerator)
    assert shared_hosts(on) == (SharedHost(NODES, at_once),)


def test_what_is_not_known_of_a_host_is_not_guessed() -> None:
    assert shared_hosts(PROFILES) == ()
    on = on_one_host(PROFILES, cores=2)
    assert shared_hosts(on.model_copy(update={"measured": ()})) == ()


def test_emulated_devices_share_with_nobody() -> None:
    on = on_one_host(PROFILES, cores=2)

    def emulating(profiles: Profiles, nodes: frozenset[str]) -> Profiles:
        stated = Emulation.model_construct(source="stated")
        return profiles.model_copy(
            update={
                "profiles": tuple(
                    each.model_copy(update={"emulated": stated}) if each.node in nodes else each
                    for each in profiles.profiles
                )
            }
        )

    clients = frozenset(node for node in NODES if node.startswith("client"))
    assert shared_hosts(emulating(on, clients)) == (SharedHost(NODES - clients, 2),)
    assert shared_hosts(emulating(on, NODES - {"cloud"})) == ()


def test_more_than_there_is_room_for_take_as_many_times_as_long() -> None:
    host = SharedHost(NODES, 2)
    assert [host.slowdown(running) for running in (0, 1, 2, 3, 5)] == [1.0, 1.0, 1.0, 1.5, 2.5]

"""Where doors listen, by the network under the nodes."""

from __future__ import annotations

import pytest

from cluster.errors import InputError
from cluster.wiring import Wiring
from serving.deploy.door_place import door_for
from serving.ingress.access import DoorConfig

TOKEN = "a token of 16 signs or more"
OWN = Wiring(hosts=("198.18.0.1", "198.18.0.2"))


def test_on_loopback_doors_stay_where_they_were_asked_to_be() -> None:
    asked = DoorConfig("0.0.0.0", TOKEN)
    assert door_for(Wiring(), asked) is asked
    assert asked.at("127.0.0.1", private=True) is asked
    assert DoorConfig().at("127.0.0.1", private=True).host == "127.0.0.1"


def test_a_node_with_an_address_of_its_own_opens_its_doors_there() -> None:
    door = door_for(OWN, DoorConfig()).at("198.18.0.2", private=True)
    assert (door.host, door.token) == ("198.18.0.2", None)


def test_where_others_reach_the_doors_they_have_a_token() -> None:
    public = OWN.model_copy(update={"private": False})
    with pytest.raises(InputError, match="needs a token"):
        DoorConfig().at("198.18.0.2", private=False)
    made, other = door_for(public, DoorConfig()), door_for(public, DoorConfig())
    assert made.token
    assert made.token != other.token
    assert made.at("198.18.0.2", private=False).token == made.token
    assert door_for(public, DoorConfig(token=TOKEN)).token == TOKEN


def test_one_address_for_nodes_on_hosts_of_their_own_is_refused() -> None:
    with pytest.raises(InputError, match=r"--listen 192\.168\.1\.5: each node"):
        door_for(OWN, DoorConfig("192.168.1.5", TOKEN))
    everywhere = DoorConfig("0.0.0.0", TOKEN)
    assert door_for(OWN, everywhere).at("198.18.0.2", private=True) is everywhere

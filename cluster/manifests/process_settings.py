"""What processes of Ray need in their environment, where others than the testbed start them."""

from __future__ import annotations

from cluster.providers.ray_driver import TOKEN_PATH, ray_settings
from cluster.providers.ray_private import SEVERAL_HOSTS

__all__ = ["HEAD_PORT", "OBJECT_STORE_BYTES", "process_settings"]

HEAD_PORT = 6379
"""of the head"""
OBJECT_STORE_BYTES = 128 * 2**20
"""queries travel over the nodes' own links, not the store"""


def process_settings() -> dict[str, str]:
    """As the testbed's own providers set it for clusters on several hosts, but for Ray's token: how
    that arrives is up to who starts the processes."""
    settings = {**ray_settings(), **SEVERAL_HOSTS}
    del settings[TOKEN_PATH]
    return settings

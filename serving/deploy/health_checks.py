"""How soon Ray Serve takes a node that hangs, or says that it is broken, for dead."""

from __future__ import annotations

__all__ = ["HANG_S", "HEALTH_PERIOD_S", "HEALTH_TIMEOUT_S", "LOOKS"]

HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 5.0, 10.0
LOOKS = 3
"""in a row that fail before Serve replaces a node"""
HANG_S = LOOKS * (HEALTH_PERIOD_S + HEALTH_TIMEOUT_S)
"""Serve replaces a node that gives no answer to so many looks"""

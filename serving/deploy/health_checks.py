"""How soon Ray Serve takes a node that hangs for dead."""

from __future__ import annotations

__all__ = ["HANG_S", "HEALTH_PERIOD_S", "HEALTH_TIMEOUT_S"]

HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 5.0, 10.0
HANG_S = 3 * (HEALTH_PERIOD_S + HEALTH_TIMEOUT_S)
"""Serve replaces a node that gives no answer to three looks in a row"""

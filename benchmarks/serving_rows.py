"""The rows of the serving benchmark: what each id means, and the file and table they end in.

Form of the file: {"provenance": {...}, "rows": [{"id", "what", "value", "unit", "n", "spread"}]}.
A row that could not be measured has a null value and an `error` that says why.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.provenance import Provenance

__all__ = ["WHAT", "collect_rows", "median_row", "merged", "print_rows", "write_rows"]

WHAT: dict[str, tuple[str, str]] = {
    "S0.bare": ("the model in a plain loop, batches of 32, on the servers' core", "queries/s"),
    "S0.beside": (
        "the same while another process computes on the generator's core / bare",
        "ratio",
    ),
    "S0.stolen": (
        "most of the cores' time that the machine's host took during a load that was kept",
        "share",
    ),
    "S1": ("in-process executor / bare, 64 callers", "ratio"),
    "S2": ("HTTP one hop / bare, binary tensors, 64 callers", "ratio"),
    "S2.p50": ("latency there, median", "ms"),
    "S2.p99": ("latency there, 99th percentile", "ms"),
    "S2.wrk": ("the same door driven by wrk, 64 connections / bare", "ratio"),
    "S2.uvicorn": ("the same door on uvicorn with httptools / bare", "ratio"),
    "S3": ("client to edge, two hops on one core / bare, 64 callers", "ratio"),
    "S3.p50": ("latency there, median", "ms"),
    "S3.p99": ("latency there, 99th percentile", "ms"),
    "S4.optimised": (
        "one hop / Ray Serve with the switches its documentation advises, 64 callers",
        "ratio",
    ),
    "S4.optimised.bare": ("Ray Serve with those switches / bare", "ratio"),
    "S4.defaults": (
        "one hop / Ray Serve with its defaults (@serve.batch through its proxy), 64 callers",
        "ratio",
    ),
    "S4.defaults.bare": ("Ray Serve with its defaults / bare", "ratio"),
    "S5.litserve": ("one hop / LitServe, 64 callers", "ratio"),
    "S5.mlserver": ("one hop / MLServer, 64 callers", "ratio"),
    "S5.pytriton": ("one hop / pytriton, 64 callers", "ratio"),
    "S6": ("p99 at 70 % of the own peak / the calmest peer's at 70 % of its own", "ratio"),
    "S6.same_load": ("p99 / the fastest peer's, both at 70 % of that peer's peak", "ratio"),
    "S6.ours": ("p99 of one hop at 70 % of its peak, Poisson", "ms"),
    "S6.ray_serve_optimised": (
        "p99 of Ray Serve with its switches at 70 % of its peak, Poisson",
        "ms",
    ),
    "S6.litserve": ("p99 of LitServe at 70 % of its peak, Poisson", "ms"),
    "S6.mlserver": ("p99 of MLServer at 70 % of its peak, Poisson", "ms"),
    "S6.pytriton": ("p99 of pytriton at 70 % of its peak, Poisson", "ms"),
    "S7": ("answers within 2 T_b at 3 times the peak, Poisson / peak", "ratio"),
    "S7.refused": ("share of that load that was refused", "share"),
    "S7.p99": ("latency of the answers there, 99th percentile", "ms"),
    "S7.lateness": ("lateness of the generator there, 99th percentile", "ms"),
    "S7.uvicorn": ("S7 of the same door on uvicorn with httptools", "ratio"),
    "S8.within": ("window policy: share of queries answered within 2 T_b + links", "share"),
    "S8.within_greedy": ("the same for the work-conserving policy", "share"),
    "S8.median_ratio": ("median latency, work-conserving / window, same arrivals", "ratio"),
    "S8.rate": ("the load there, planned with 5 % overrun (F11), T_b 100 ms", "queries/s"),
    "S8.window_p50": ("median latency of the window policy there", "ms"),
    "S9.p50": ("load generator's lateness at 200 queries/s, null system", "ms"),
    "S9.p99": ("load generator's lateness at 200 queries/s, null system", "ms"),
    "S9.fast_p50": ("load generator's lateness at 2000 queries/s, null system", "ms"),
    "S9.fast_p99": ("load generator's lateness at 2000 queries/s, null system", "ms"),
    "S10": ("router and protocol, CPU time a query in bursts of 64", "ms"),
    "S10.uvicorn": ("the same by way of ASGI, as uvicorn calls it", "ms"),
}


def collect_rows(
    found: Mapping[str, list[float]], errors: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Rows in the order of `WHAT`: median and range over the repetitions, or the error."""
    unknown = (found.keys() | errors.keys()) - WHAT.keys()
    if unknown:
        raise KeyError(f"rows without a meaning: {', '.join(sorted(unknown))}")
    rows: list[dict[str, Any]] = []
    for identity, (what, unit) in WHAT.items():
        values = found.get(identity, [])
        row: dict[str, Any] = {"id": identity, "what": what, "value": None, "unit": unit, "n": 0}
        if values:
            row = median_row(identity, what, unit, values)
        if identity in errors:
            row["error"] = errors[identity]
        if values or identity in errors:
            rows.append(row)
    return rows


def median_row(identity: str, what: str, unit: str, values: Sequence[float]) -> dict[str, Any]:
    """One row: median and range of `values`, of which there is at least one."""
    return {
        "id": identity, "what": what, "value": statistics.median(values), "unit": unit,
        "n": len(values), "spread": [min(values), max(values)],
    }  # fmt: skip


def write_rows(path: Path, provenance: Provenance, rows: list[dict[str, Any]]) -> None:
    """The JSON that is committed under benchmarks/results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"provenance": provenance.model_dump(), "rows": rows}
    path.write_text(json.dumps(document, indent=1) + "\n")


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A table for people."""
    for row in rows:
        if row["n"]:
            low, high = row["spread"]
            figures = f"{row['value']:10.4g} {row['unit']:10} n={row['n']} [{low:.4g}, {high:.4g}]"
            print(f"{row['id']:17} {figures}  {row['what']}")
        if "error" in row:
            print(f"{row['id']:17} not measured: {row['error']}")


def merged(path: Path, rows: Sequence[Mapping[str, Any]], commit: str) -> list[dict[str, Any]]:
    """`rows` with those of other sections in `path`. Sections are measured one by one, so each row
    says at which commit it was."""
    by_name: dict[str, dict[str, Any]] = {}
    if path.exists():
        before = json.loads(path.read_text())
        measured = {"commit": before["provenance"]["commit"]}
        by_name = {str(each["id"]): {**measured, **each} for each in before["rows"]}
    by_name |= {str(each["id"]): {**each, "commit": commit} for each in rows}
    return [by_name[name] for name in sorted(by_name)]

"""What `testbed profile` says: tables of costs, of neighbours and of drift, and notes in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from rich.table import Table

from cluster.topology import Topology
from profiling.fit_quality import FitQuality
from profiling.measured import MeasuredModel
from profiling.profile import ModelProfile, Profiles
from profiling.verify import TOLERATED, Drift

__all__ = [
    "cost_tables", "drift_table", "neighbour_tables", "notes_on", "part_table", "shares_in_words",
]  # fmt: skip

MIB = 2**20
NAMED = 3
"""so many examples are named in a note"""
GROWN = 1.25
"""times weights and workspace beyond which a process is said to hold more"""


def cost_tables(profiles: Profiles) -> list[Table]:
    """A table for each hardware and each device that it emulates, with a row for each model."""
    measured = {(each.model, each.measured_on): each for each in profiles.measured}
    groups: dict[tuple[str, str], dict[str, ModelProfile]] = {}
    for entry in profiles.profiles:
        models = groups.setdefault((entry.measured_on, _device_words(entry)), {})
        models.setdefault(entry.model, entry)
    tables = []
    for (hardware, device), entries in groups.items():
        title = f"measured on {hardware}{device}"
        table = Table(title=title, caption=_fit_words(list(entries.values())))
        table.add_column("model", no_wrap=True)
        for heading in ("ν ms", "c ms", "off the line", "MiB (RSS)", "load s"):
            table.add_column(heading, justify="right")
        for model, entry in entries.items():
            fit = entry.fit
            table.add_row(
                model,
                _with_interval(entry.setup_s, fit.setup_high_s if fit else None),
                _with_interval(entry.marginal_s, fit.marginal_high_s if fit else None),
                f"{fit.worst:.0%} at {fit.worst_batch}" if fit else "",
                _memory(entry, measured.get((model, hardware))),
                f"{entry.load_s:.1f}",
            )
        tables.append(table)
    return tables


def _device_words(entry: ModelProfile) -> str:
    """The device that it was scaled to; empty if the hardware is its own."""
    if entry.emulated is None:
        return ""
    error = "" if entry.emulated.error is None else f" ± {entry.emulated.error:.0%}"
    return f", emulating {entry.emulated.device}{error}"


def _fit_words(entries: Sequence[ModelProfile]) -> str:
    """The sizes that were measured, and how well lines through them fit."""
    sizes = {f"{len(entry.latency)} batch sizes up to {entry.latency[-1].batch}"
             for entry in entries}  # fmt: skip
    words = sizes.pop() if len(sizes) == 1 else "batch sizes differ, see below"
    fits = [entry.fit.r2 for entry in entries if entry.fit]
    return f"{words}; R² of the lines {min(fits):.4f} or more" if fits else words


def part_table(profiles: Profiles) -> Table:
    """What a query takes beside its pass: the median over the models that were measured."""
    table = Table("beside the pass", "µs a picture")
    parts = [each.parts for each in profiles.measured if each.parts is not None]
    rows = {
        "decoding a PNG": [part.decode_s for part in parts],
        "fitting a picture of twice the size": [part.fit_s for part in parts],
        "into one array (in the pass)": [part.stack_s for part in parts],
        "copies to the device and back (in the pass)": [part.copy_s for part in parts],
        "through the executor and back": [part.hand_over_s for part in parts if part.hand_over_s],
        "the model's first batch of one": [
            each.latency[0].first_s for each in profiles.measured
        ],
    }  # fmt: skip
    for name, spent_s in rows.items():
        if spent_s:
            table.add_row(name, f"{1e6 * median(spent_s):.0f}")
    return table


def neighbour_tables(profiles: Profiles) -> list[Table]:
    """What batches take beside neighbours ÷ alone: a table for each hardware."""
    tables = []
    for each in profiles.interference:
        table = Table(title=f"measured on {each.measured_on}, beside neighbours ÷ alone")
        table.add_column("model", no_wrap=True)
        for heading in ("batch", "beside", "ratio", "95 %"):
            table.add_column(heading)
        for row in each.rows:
            beside = "another model" if row.beside == "model" else "another node, busy"
            table.add_row(
                row.model,
                str(row.batch),
                f"{beside}: {row.neighbour}",
                f"{row.ratio:.2f}",
                f"{row.low:.2f} to {row.high:.2f}",
            )
        tables.append(table)
    return tables


def shares_in_words(topology: Topology, profiles: Profiles) -> list[str]:
    """What neighbours leave of compute budgets, where it is less than a percent of them."""
    shares = {node.name: profiles.compute_share(node.name) for node in topology.nodes}
    less = [f"{name} {share:.2f}" for name, share in shares.items() if share < 0.99]
    if not less:
        return []
    return [
        "beside neighbours that compute as much as their budgets let them, a device does in a "
        f"second what takes so long by these profiles: {', '.join(less)} s"
    ]


def notes_on(profiles: Profiles, begun_at: str) -> list[str]:
    """What a reader of the tables must know besides. `begun_at` (UTC) tells what was measured
    before this run."""
    notes = []
    kept = [each for each in profiles.measured if each.taken_at < begun_at]
    if kept:
        oldest = min(each.taken_at for each in kept)
        notes.append(
            f"{len(kept)} of {len(profiles.measured)} models are as measured before, the oldest at "
            f"{oldest}; --fresh measures them again, --verify a sample of them"
        )
    bent: list[tuple[ModelProfile, FitQuality]] = [
        (each, each.fit)
        for each in profiles.profiles
        if each.node == each.measured_on and each.fit is not None and each.fit.bends
    ]
    if bent:
        worst = [
            f"{each.model} by {fit.worst:.0%} at batch {fit.worst_batch}" for each, fit in bent
        ]
        notes.append(f"latency is no line, beyond noise: {_some(worst)}")
    unsettled = [f"{each.model} at {_sizes(each.unsettled)}"
                 for each in profiles.measured if each.unsettled]  # fmt: skip
    if unsettled:
        notes.append(f"medians less sure than was asked: {_some(unsettled)}; give more --seconds")
    left_out = [f"{each.model} {_sizes(each.left_out)}"
                for each in profiles.measured if each.left_out]  # fmt: skip
    if left_out:
        notes.append(f"batch sizes left out for time: {_some(left_out)}; give more --seconds")
    grown = [f"{each.model} {each.rss_bytes / MIB:.0f} MiB"
             for each in profiles.measured if _grows(each) and each.rss_bytes]  # fmt: skip
    if grown:
        notes.append(
            "processes grew by more than weights and workspace, which budgets count, by a quarter "
            f"or more: {_some(grown)}"
        )
    return notes + _energy_note(profiles.measured) + _condition_notes(profiles.measured)


def drift_table(drifts: Sequence[Drift]) -> Table:
    """Each size that was measured again, then and now, and the ratios that count as unchanged."""
    table = Table("model", "measured on", "batch", "then ms", "now ms", "ratio", "")
    within = f"{1 - TOLERATED:.2f} to {1 + TOLERATED:.2f}"
    table.caption = f"no drift: a ratio of {within}, or one that chance explains"
    for drift in drifts:
        table.add_row(
            drift.model,
            drift.measured_on,
            str(drift.then.batch),
            f"{drift.then.p50_s * 1e3:.2f}",
            f"{drift.now.p50_s * 1e3:.2f}",
            f"{drift.ratio:.2f}",
            "drifted" if drift.drifted else "",
        )
    return table


def _energy_note(measured: Iterable[MeasuredModel]) -> list[str]:
    measured = list(measured)
    watts = [each.energy for each in measured if each.energy is not None]
    if watts:
        beyond = sorted(each.beyond_idle_w for each in watts)
        return [
            f"energy by {watts[0].source}: {watts[0].idle_w:.1f} W idle, busy devices draw "
            f"{beyond[0]:.1f} to {beyond[-1]:.1f} W more"
        ]
    reasons = sorted({each.energy_note for each in measured if each.energy_note})
    return [f"energy: not measured ({'; '.join(reasons)})"] if reasons else []


def _condition_notes(measured: Iterable[MeasuredModel]) -> list[str]:
    found = [(each.model, each.conditions) for each in measured if each.conditions is not None]
    if not found:
        return []
    clocks = [state.clock_mhz for _, state in found if state.clock_mhz]
    heat = [state.temperature_c for _, state in found if state.temperature_c is not None]
    governors = sorted({state.governor for _, state in found if state.governor})
    words = [
        f"clock {min(clocks):.0f} to {max(clocks):.0f} MHz" if clocks else "clock unknown",
        f"governor {', '.join(governors)}" if governors else "no governor",
        f"up to {max(heat):.0f} °C" if heat else "no thermometer",
    ]
    notes = [f"the device: {', '.join(words)}"]
    if throttled := [model for model, state in found if state.throttled]:
        notes.append(f"heat or power slowed the device while it ran {_some(throttled)}")
    stolen = max((state.stolen_share or 0.0 for _, state in found), default=0.0)
    if stolen > 0.03:
        notes.append(f"the host gave up to {stolen:.0%} of the cores' time to other machines")
    return notes


def _memory(entry: ModelProfile, measured: MeasuredModel | None) -> str:
    if measured is None:
        return f"{entry.resident_bytes / MIB:.1f}"
    grown = "" if measured.rss_bytes is None else f" ({measured.rss_bytes / MIB:.0f})"
    return f"{measured.resident_bytes / MIB:.1f}{grown}"


def _grows(measured: MeasuredModel) -> bool:
    return (measured.rss_bytes or 0) > GROWN * measured.resident_bytes


def _with_interval(value_s: float, high_s: float | None) -> str:
    half = "" if high_s is None else f" ± {(high_s - value_s) * 1e3:.1f}"
    return f"{value_s * 1e3:.1f}{half}"


def _sizes(sizes: Iterable[int]) -> str:
    return ", ".join(map(str, sizes))


def _some(words: Sequence[str]) -> str:
    more = len(words) - NAMED
    return "; ".join(words[:NAMED]) + (f"; and {more} more" if more > 0 else "")

"""The planning problem as numpy arrays, and `problem.json`.

Axis letters in field names: c client, e edge, a attachment (a client and an edge it reaches),
t task, m model, b bundle (tasks asked of one image), z batch size that was measured. Symbols of
`docs/formulation.md` stand beside each field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cluster.provenance import Provenance
from planner.bundles import check_bundles
from planner.problem_checks import (
    check_curves,
    check_index,
    check_names,
    check_node_names,
    check_values,
    refuse,
)
from planner.problem_file import NAME_FIELDS, ProblemError, ProblemFile

__all__ = ["FloatArray", "Problem", "ProblemError"]

FloatArray = NDArray[np.float64]

OF_LINKS = ("bandwidth_a", "backlog_a", "edge_bandwidth_e", "edge_backlog_e")
"""Fields that only F17 reads, under dispersion."""
MAY_BE_INFINITE = (
    "client_model_bytes_cm",
    "edge_model_bytes_em",
    "client_uplink_c",
    "uplink_a",
    "edge_uplink_e",
    "edge_max_batch_e",
    "cloud_compute",
    "deadline_t",
    *OF_LINKS,
)
CONCERN_ALL = {*NAME_FIELDS, "cloud", "client_of_a"}
"""Fields after whose change all others are checked again."""
INDEX_FIELDS = ("client_of_a", "edge_of_a", "cloud_model_t")
LEFT_OUT = {
    "deadline_t": np.inf,
    "rtt_a": 0.0,
    "uplink_a": np.inf,
    "edge_rtt_e": 0.0,
    "edge_max_batch_e": np.inf,
    "dispersion_c": 1.0,
    "burst_correlation": 0.0,
    "client_moving_cm": 0.0,
    "edge_moving_em": 0.0,
    "bandwidth_a": np.inf,
    "backlog_a": np.inf,
    "edge_bandwidth_e": np.inf,
    "edge_backlog_e": np.inf,
    "bundle_bt": 0.0,
    "bundle_load_cb": 0.0,
    "curve_sizes_z": 1.0,
    "edge_curve_emz": np.nan,
}
"""What an optional field holds where it is left out. Without sizes, curves have no entries; with
sizes that lack their times, these are no numbers, and refused."""
NEWER = (
    "dispersion_c",
    "burst_correlation",
    "client_moving_cm",
    "edge_moving_em",
    "bundle_bt",
    "bundle_load_cb",
    *OF_LINKS,
    "curve_sizes_z",
    "edge_curve_emz",
)
"""Optional fields that the digest leaves out where they hold what they hold when left out, so that
problems from before them keep their digests."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One planning problem. Arrays are read-only; shapes follow the axis letters of the names.

    Raises `ProblemError` on a wrong shape, NaN, negative value, accuracy outside [0, 1],
    duplicate name, or a client attached to no edge or twice to one.
    """

    clients: tuple[str, ...]
    edges: tuple[str, ...]
    cloud: str
    tasks: tuple[str, ...]
    models: tuple[str, ...]
    edge_of_a: NDArray[np.int64]
    """Index of the edge of attachment a."""
    load_ct: FloatArray
    """lambda_it, queries/s."""
    accuracy_mt: FloatArray
    """a_mt in [0, 1]; 0 where the model does not serve the task."""
    client_memory_c: FloatArray
    """mu_i, bytes."""
    edge_memory_e: FloatArray
    """mu_e, bytes."""
    client_model_bytes_cm: FloatArray
    """s_m at a client, bytes; inf where the model cannot run there."""
    edge_model_bytes_em: FloatArray
    """s_m at an edge, bytes; inf where the model cannot run there."""
    client_compute_c: FloatArray
    """beta_i, busy seconds per second."""
    edge_compute_e: FloatArray
    """beta_e, busy seconds per second."""
    window_e: FloatArray
    """T_b, seconds; > 0."""
    client_setup_cm: FloatArray
    """nu_im, seconds per batch."""
    client_marginal_cm: FloatArray
    """c_im, seconds per query."""
    edge_setup_em: FloatArray
    """nu_em, seconds per batch."""
    edge_marginal_em: FloatArray
    """c_em, seconds per query."""
    cloud_accuracy_t: FloatArray
    """a_ot; 0 where the cloud does not serve the task."""
    cloud_model_t: NDArray[np.int64]
    """Index of the model the cloud serves the task with; -1 none."""
    cloud_cost_t: FloatArray
    """nu + c of that model in the cloud, seconds per query."""
    query_bytes_t: FloatArray
    """b_t, bytes going up."""
    answer_bytes_t: FloatArray
    """d_t, bytes coming down."""
    client_uplink_c: FloatArray
    """kappa_i, bytes/s: what all attachments of the client share."""
    edge_uplink_e: FloatArray
    """kappa_e, bytes/s."""
    cloud_compute: float = float("inf")
    """beta_o, busy seconds per second; inf leaves F8 out."""
    deadline_t: FloatArray = field(default_factory=lambda: np.zeros(0))
    """D_t, seconds; inf (all, by default) leaves F13 out."""
    client_of_a: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Index of the client of attachment a; left out, attachment a is the only one of client a."""
    uplink_a: FloatArray = field(default_factory=lambda: np.zeros(0))
    """kappa_a, bytes/s: limit of one attachment (inf by default, the client's budget alone)."""
    rtt_a: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Round trip client - edge, seconds (0 by default); only F13 uses it."""
    edge_rtt_e: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Round trip edge - cloud, seconds (0 by default); only F13 uses it."""
    edge_max_batch_e: FloatArray = field(default_factory=lambda: np.zeros(0))
    """B_e, queries of the largest batch (inf by default): F9 and F11 charge a setup for each."""
    dispersion_c: FloatArray = field(default_factory=lambda: np.zeros(0))
    """I_i, variance / mean of the queries of client i in a window T_b (1, Poisson, by default);
    F11 and F17."""
    burst_correlation: float = 0.0
    """rho in [0, 1], correlation of the rates of two clients (0, each bursts alone, by default);
    F17."""
    client_moving_cm: FloatArray = field(default_factory=lambda: np.zeros(0))
    """What it costs to have m loaded at client c, right answers/s (F16; 0 by default)."""
    edge_moving_em: FloatArray = field(default_factory=lambda: np.zeros(0))
    """The same at an edge."""
    bandwidth_a: FloatArray = field(default_factory=lambda: np.zeros(0))
    """B, bytes/s that the link of attachment a sends (inf by default: not known); only F17."""
    backlog_a: FloatArray = field(default_factory=lambda: np.zeros(0))
    """w, seconds of backlog beyond which it refuses (inf by default); only F17."""
    edge_bandwidth_e: FloatArray = field(default_factory=lambda: np.zeros(0))
    """B of an edge's link to the cloud."""
    edge_backlog_e: FloatArray = field(default_factory=lambda: np.zeros(0))
    """w of an edge's link to the cloud."""
    bundle_bt: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    """1 for the tasks that are asked of one image together, set by set (F14; no set by default:
    every task is asked of an image of its own)."""
    bundle_load_cb: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    """Images/s of a client of which just this set is asked: a part of `load_ct`. What bundles leave
    of a load is asked alone."""
    curve_sizes_z: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Sizes of batches that were measured, from 1 up; left out, a batch takes nu + c b (F15)."""
    edge_curve_emz: FloatArray = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """Seconds of a batch of each of these sizes; linear between them, never falling."""
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        for name in NAME_FIELDS:
            object.__setattr__(self, name, tuple(getattr(self, name)))
            check_names(name, getattr(self, name))
        check_node_names(self.clients, self.edges, self.cloud)
        if len(self.client_of_a) == 0:
            object.__setattr__(self, "client_of_a", np.arange(len(self.clients)))
        self._settle({*self.array_fields(), "cloud_compute", "burst_correlation"})

    def changed(self, **fields: Any) -> Self:
        """This problem with other `fields`, of which alone shape and values are checked.

        The same as `dataclasses.replace`, at a tenth of its time: a plan with headroom (F11) makes
        dozens of problems that differ in one array, and their other arrays are shared.
        """
        if fields.keys() & CONCERN_ALL or not fields.keys() <= self.__dataclass_fields__.keys():
            return replace(self, **fields)
        made = object.__new__(type(self))
        for name in self.__dataclass_fields__:
            object.__setattr__(made, name, fields.get(name, getattr(self, name)))
        made._settle({*fields, "bundle_load_cb"} if "bundle_bt" in fields else fields.keys())
        return made

    def part(
        self,
        clients: NDArray[np.int64],
        edges: NDArray[np.int64],
        attachments: NDArray[np.int64],
    ) -> Self:
        """Some clients, edges and attachments alone, all by index in rising order, with F8 left
        out. Every client must keep an attachment, and every attachment its client and edge: then
        a part of what was checked is right, and is not checked again."""
        picked = {"c": clients, "e": edges, "a": attachments}
        made = object.__new__(type(self))
        for name in self.__dataclass_fields__:
            object.__setattr__(made, name, getattr(self, name))
        for name in self.array_fields():
            rows = picked.get(name.rsplit("_", 1)[1][0])
            if rows is not None:
                array = getattr(self, name)[rows]
                if name in ("client_of_a", "edge_of_a"):
                    array = np.searchsorted(clients if name == "client_of_a" else edges, array)
                array.setflags(write=False)
                object.__setattr__(made, name, array)
        object.__setattr__(made, "clients", tuple(self.clients[c] for c in clients))
        object.__setattr__(made, "edges", tuple(self.edges[e] for e in edges))
        object.__setattr__(made, "cloud_compute", float("inf"))
        return made

    def _settle(self, names: Collection[str]) -> None:
        """Fill in what was left out of the fields of `names`, make them read-only arrays, and check
        each alone and with the fields it belongs to."""
        if "curve_sizes_z" in names:
            names = {*names, "edge_curve_emz"}
        for name in self.array_fields():
            if name in names:
                object.__setattr__(self, name, self._settled(name))
        if "cloud_compute" in names:
            value = np.asarray(self.cloud_compute, dtype=np.float64)
            check_values("cloud_compute", value, finite=False)
        if "burst_correlation" in names:
            value = np.asarray(self.burst_correlation, dtype=np.float64)
            check_values("burst_correlation", value, finite=True)
            refuse("burst_correlation", value, value > 1, "must be at most 1")
        if "edge_of_a" in names or "client_of_a" in names:
            check_index("edge_of_a", self.edge_of_a, 0, self.edges)
            check_index("client_of_a", self.client_of_a, 0, self.clients)
            self._check_attachments()
        for name in ("accuracy_mt", "cloud_accuracy_t"):
            if name in names:
                refuse(name, getattr(self, name), getattr(self, name) > 1, "must be at most 1")
        if "window_e" in names:
            refuse("window_e", self.window_e, self.window_e <= 0, "must be greater than 0")
        if "edge_max_batch_e" in names:
            largest_e = self.edge_max_batch_e
            no_count_e = (largest_e < 1) | (largest_e != np.round(largest_e))
            refuse("edge_max_batch_e", largest_e, no_count_e, "must be a whole number from 1")
        if len(self.bundle_bt) and not {"bundle_load_cb", "load_ct"}.isdisjoint(names):
            check_bundles(
                self.bundle_bt, self.bundle_load_cb, self.load_ct, self.clients, self.tasks
            )
        if "curve_sizes_z" in names or "edge_curve_emz" in names:
            check_curves(self.curve_sizes_z, self.edge_curve_emz)
        if len(self.bundle_bt) and self.curved:
            raise ProblemError(
                "curve_sizes_z: batches of bundles (F14) are planned by nu + c b; leave it out"
            )
        if "cloud_model_t" in names or "cloud_accuracy_t" in names:
            check_index("cloud_model_t", self.cloud_model_t, -1, self.models)
            unserved = (self.cloud_model_t < 0) & (self.cloud_accuracy_t > 0)
            refuse(
                "cloud_model_t", self.cloud_model_t, unserved, "no model, but an accuracy above 0"
            )

    def _settled(self, name: str) -> NDArray[Any]:
        """The array of a field, read-only and checked alone."""
        shape = tuple(self._length(axis) for axis in name.rsplit("_", 1)[1])
        value = getattr(self, name)
        if name in LEFT_OUT:
            given, default = _as_array(name, value, np.float64), LEFT_OUT[name]
            # What was left out stays left out when `replace` brings other attachments.
            untold = name in NEWER and given.shape != shape and np.all(given == default)
            if len(given) == 0 or untold:
                value = np.full(shape, default)
        integer = name in INDEX_FIELDS
        array = _as_array(name, value, np.int64 if integer else np.float64)
        if array.shape != shape:
            raise ProblemError(f"{name}: expected shape {shape}, got {array.shape}")
        if not integer:
            check_values(name, array, finite=name not in MAY_BE_INFINITE)
        array.setflags(write=False)
        return array

    @classmethod
    def array_fields(cls) -> tuple[str, ...]:
        """Names of the array fields, in order."""
        skipped = {*NAME_FIELDS, "cloud", "cloud_compute", "burst_correlation", "provenance"}
        return tuple(item.name for item in fields(cls) if item.name not in skipped)

    def _length(self, axis: str) -> int:
        names = {"c": self.clients, "e": self.edges, "t": self.tasks, "m": self.models}
        others = {"a": self.client_of_a, "b": self.bundle_bt, "z": self.curve_sizes_z}
        return len(others[axis] if axis in others else names[axis])

    def _check_attachments(self) -> None:
        pair_a = self.client_of_a * len(self.edges) + self.edge_of_a
        _, first = np.unique(pair_a, return_index=True)
        again_a = ~np.isin(np.arange(len(pair_a)), first)
        refuse("edge_of_a", self.edge_of_a, again_a, "its client is attached to this edge twice")
        alone = np.setdiff1d(np.arange(len(self.clients)), self.client_of_a)
        if len(alone):
            raise ProblemError(f"client_of_a: {self.clients[alone[0]]!r} is attached to no edge")

    @cached_property
    def limited_attachments(self) -> NDArray[np.int64]:
        """Attachments with a limit of their own beside their client's budget (F7)."""
        return np.flatnonzero(np.isfinite(self.uplink_a))

    @cached_property
    def asks_together(self) -> bool:
        """Whether any image is asked several tasks (F14)."""
        return bool(self.bundle_load_cb.any())

    @property
    def curved(self) -> bool:
        """Whether a batch at an edge takes what was measured, not nu + c b (F15)."""
        return len(self.curve_sizes_z) > 0

    def attachment_name(self, a: int) -> str:
        """`client > edge` of attachment a."""
        return f"{self.clients[self.client_of_a[a]]} > {self.edges[self.edge_of_a[a]]}"

    @property
    def total_load_qps(self) -> float:
        """Sum of lambda over clients and tasks."""
        return float(self.load_ct.sum())

    @cached_property
    def digest(self) -> str:
        """Hex digest of everything but the provenance; equal problems have equal digests."""
        state = hashlib.sha256()
        for name in (*NAME_FIELDS, "cloud", "cloud_compute"):
            state.update(f"{name}={getattr(self, name)!r};".encode())
        poisson = bool(np.all(self.dispersion_c == 1))
        for name in self.array_fields():
            if name in NEWER and np.all(getattr(self, name) == LEFT_OUT[name]):
                continue
            if name in OF_LINKS and poisson:  # which nothing reads then
                continue
            state.update(name.encode())
            state.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        if self.burst_correlation > 0 and not poisson:
            state.update(f"burst_correlation={self.burst_correlation!r}".encode())
        return state.hexdigest()[:32]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read `problem.json`. Raises `DocumentError` with the file and the path of the field."""
        stored = ProblemFile.load(path)
        try:
            return cls(**stored.fields())
        except ProblemError as error:
            raise ProblemError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> Path:
        """Write `problem.json` atomically; returns the path."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in NEWER:
            if np.all(values[name] == LEFT_OUT[name]):
                del values[name]
        return ProblemFile.of(values).save(path)


def _as_array(name: str, value: Any, dtype: type) -> NDArray[Any]:
    try:
        return np.array(value, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProblemError(f"{name}: not a rectangular table of numbers ({error})") from None

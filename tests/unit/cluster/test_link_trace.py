"""Recorded capacities of links: both formats, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from cluster.document import DocumentError
from cluster.link import Link
from cluster.link_trace import read_link_trace
from cluster.specs import SPECS
from cluster.topology import Topology

STEPS = "t_s,capacity_mbit_s\n0,8\n0.5,0\n1.0,4\n"


def written(folder: Path, text: str, name: str = "link.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refused(folder: Path, text: str, name: str | None = None) -> str:
    path = written(folder, text)
    with pytest.raises(DocumentError) as caught:
        read_link_trace(path, name)
    words = str(caught.value)
    assert words.startswith(f"{path}: ")
    assert "\n" not in words
    return words.removeprefix(f"{path}: ")


def test_a_csv_holds_each_row_until_the_next_and_the_last_one_as_long_as_the_one_before(
    tmp_path: Path,
) -> None:
    trace = read_link_trace(written(tmp_path, STEPS))
    assert trace.starts_s_k.tolist() == [0.0, 0.5, 1.0]
    assert trace.bytes_per_s_k.tolist() == [1e6, 0.0, 0.5e6]
    assert trace.length_s == 1.5
    assert trace.mean_bytes_per_s == pytest.approx(0.5e6)


@pytest.mark.parametrize("header", ["seconds,Mbit/s", "Time , MBPS", "mbit_s,t_s"])
def test_columns_are_found_by_what_they_are_called(tmp_path: Path, header: str) -> None:
    rows = ("0,8", "1,8") if not header.startswith("mbit_s") else ("8,0", "8,1")
    trace = read_link_trace(written(tmp_path, "\n".join((header, *rows))))
    assert trace.mean_bytes_per_s == 1e6


def test_one_of_several_traces_in_a_csv_is_named(tmp_path: Path) -> None:
    text = "trace,t_s,capacity_mbit_s\nup,0,8\nup,1,8\ndown,0,16\ndown,1,16\n"
    path = written(tmp_path, text)
    assert read_link_trace(path, "down").mean_bytes_per_s == 2e6
    assert "which trace: up, down" in refused(tmp_path, text)
    assert "no trace 'side'; there are up, down" in refused(tmp_path, text, "side")
    assert "leave out `name`" in refused(tmp_path, STEPS, "up")
    assert "leave out `name`" in refused(tmp_path, "1\n2\n", "up")


def test_mahimahis_lines_are_packets_of_1500_bytes_and_its_last_one_is_its_length(
    tmp_path: Path,
) -> None:
    every_ms = "\n".join(map(str, range(1, 41)))
    trace = read_link_trace(written(tmp_path, every_ms, "up.trace"))
    assert trace.length_s == 0.04
    np.testing.assert_allclose(trace.bytes_per_s_k, 1.5e6)
    silent = read_link_trace(written(tmp_path, "0\n5\n5\n25\n", "gap.trace"))
    # Three packets in the first 10 ms, none in the second, one in the 5 ms that are left.
    np.testing.assert_allclose(silent.bytes_per_s_k, [450_000.0, 0.0, 300_000.0])
    assert silent.mean_bytes_per_s == pytest.approx(4 * 1500 / 0.025)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the trace is empty"),
        ("\n \n", "the trace is empty"),
        ("t_s,capacity_mbit_s\n", "the trace is empty; it needs a row a step"),
        ("t_s,capacity_mbit_s\n0,1\n1,2\n0.5,3\n", "line 4: the trace goes backwards, to 0.5 s"),
        ("t_s,capacity_mbit_s\n0,1\n0,2\n", "line 3: the trace goes backwards"),
        ("t_s,capacity_mbit_s\n0,1\n1,-2\n", "line 3: capacity -2 is negative"),
        ("t_s,capacity_mbit_s\n-1,1\n", "line 2: time -1 is negative"),
        ("t_s,capacity_mbit_s\n0,nan\n", "line 2: capacity nan is no finite number"),
        ("t_s,capacity_mbit_s\n0,\n", "line 2: capacity '' is no number"),
        ("t_s,capacity_mbit_s\n0\n", "line 2: expected 2 columns, found 1"),
        ("t_s,capacity_mbit_s\n0,0\n1,0\n", "line 3: no capacity up to here is above 0"),
        ("t_s,capacity_mbit_s\n0,1\n1,1\n2,1\n4,1\n", "line 5: the trace has a gap of 2 s, from 2"),
        ("t_s,capacity_mbit_s\n0,1\n1,1\n3,1\n60,1\n", "line 5: the trace has a gap of 57 s"),
        ("t_s,bytes\n0,1\n", "line 1: no column of Mbit/s; expected capacity_mbit_s"),
        ("when,capacity_mbit_s\n0,1\n", "line 1: no column of seconds; expected t_s"),
        ("3\n2\n", "line 2: the trace goes backwards, to 2 after 3 ms"),
        ("-3\n2\n", "line 1: -3 ms is negative"),
        ("1\nx\n", "line 2: expected milliseconds, a whole number, not 'x'"),
        ("0\n0\n", "line 2: the trace lasts 0 ms"),
        ("1\n999999999999\n", "line 2: 999999999999 ms is longer than a trace may be"),
    ],
)
def test_a_trace_that_cannot_be_followed_is_refused_by_its_line(
    tmp_path: Path, text: str, says: str
) -> None:
    assert says in refused(tmp_path, text)


def test_a_trace_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.csv: No such file"):
        read_link_trace(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DocumentError, match="not a text of UTF-8"):
        read_link_trace(tmp_path / "bytes.csv")


def test_steps_of_different_lengths_are_no_gap(tmp_path: Path) -> None:
    text = "t_s,capacity_mbit_s\n0,1\n5,2\n100,1\n130,4\n"
    assert read_link_trace(written(tmp_path, text)).length_s == 160.0


def with_trace(folder: Path, **trace: object) -> Path:
    """A topology in `folder`, whose first link follows a trace beside it."""
    data = yaml.safe_load((SPECS / "demo.yaml").read_text())
    first = data["links"][0]
    del first["bandwidth"]
    first["trace"] = {"file": "link.csv", **trace} if trace else "link.csv"
    return written(folder, yaml.safe_dump(data), "topology.yaml")


def test_a_topology_finds_its_traces_beside_it_and_plans_with_their_means(tmp_path: Path) -> None:
    written(tmp_path, STEPS)
    link = Topology.load(with_trace(tmp_path)).links[0]
    assert link.bandwidth is None
    assert link.bytes_per_s == pytest.approx(0.5e6)
    assert link.budget_bytes_per_s == pytest.approx(link.budget_share * 0.5e6)
    twice = Topology.load(with_trace(tmp_path, scale=2.0)).links[0]
    assert twice.bytes_per_s == pytest.approx(1e6)


def test_a_bandwidth_beside_a_trace_is_the_most_it_carries(tmp_path: Path) -> None:
    trace = {"file": str(written(tmp_path, STEPS))}
    link = Link.model_validate({"source": "a", "target": "b", "bandwidth": "500KB", "trace": trace})
    assert link.recorded is not None
    assert link.recorded.bytes_per_s_k.tolist() == [0.5e6, 0.0, 0.5e6]
    assert link.bytes_per_s == pytest.approx(1e6 / 3)
    steady = link.carrying(7_000.0)
    assert (steady.bytes_per_s, steady.recorded) == (7_000.0, None)


def test_a_topology_of_a_trace_survives_a_round_trip_from_another_folder(tmp_path: Path) -> None:
    written(tmp_path, STEPS)
    found = Topology.load(with_trace(tmp_path, seed=3))
    (tmp_path / "run").mkdir()
    again = Topology.load(found.save(tmp_path / "run" / "topology.yaml"))
    assert again == found
    assert Topology.parse(found.model_dump(mode="json", exclude_none=True)) == found


def test_what_was_recorded_travels_with_the_link_to_hosts_without_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, STEPS)
    sent = pickle.dumps(Topology.load(with_trace(tmp_path, seed=3)))
    file.unlink()
    link = pickle.loads(sent).links[0]
    assert link.bytes_per_s == pytest.approx(0.5e6)


def test_a_seed_draws_where_in_the_trace_a_link_begins(tmp_path: Path) -> None:
    written(tmp_path, STEPS)
    shifts = [
        link.trace.shift_s
        for seed in (1, 1, 2)
        if (link := Topology.load(with_trace(tmp_path, seed=seed)).links[0]).trace is not None
    ]
    assert shifts[0] == shifts[1] != shifts[2]
    assert all(0 <= shift < 1.5 for shift in shifts)


def test_a_fault_of_a_trace_names_the_topology_the_link_and_the_line(tmp_path: Path) -> None:
    written(tmp_path, STEPS.replace("4", "-4"))
    path = with_trace(tmp_path)
    with pytest.raises(DocumentError) as caught:
        Topology.load(path)
    assert str(caught.value) == (
        f"{path}: links.0.trace: {tmp_path / 'link.csv'}: line 4: capacity -4 is negative"
    )


def test_a_link_needs_a_bandwidth_or_a_trace() -> None:
    data = yaml.safe_load((SPECS / "demo.yaml").read_text())
    del data["links"][0]["bandwidth"]
    with pytest.raises(DocumentError, match=r"links\.0: expected `bandwidth`, such as"):
        Topology.parse(data, "t.yaml")

"""Traces of arrivals: the formats that are known, and one line for each that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.document import DocumentError
from cluster.recorded_trace import RecordedTrace, read_trace


def write(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def times(trace: RecordedTrace) -> list[float]:
    assert trace.times_s_n is not None
    return [float(at_s) for at_s in trace.times_s_n]


def counts(trace: RecordedTrace) -> list[int]:
    assert trace.counts_k is not None
    return [int(count) for count in trace.counts_k]


def test_azures_llm_trace_is_read_by_its_timestamps(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 23:59:58.0000000,374,44\n2023-11-16 23:59:59.5000000,396,109\n"
        "2023-11-17 00:00:01.2500000,879,55\n",
    )
    trace = read_trace(path)
    assert times(trace) == pytest.approx([0.0, 1.5, 3.25])
    assert (trace.total, trace.duration_s) == (3, pytest.approx(3.25))


def test_azures_newer_trace_has_a_time_zone(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "TIMESTAMP\n2024-05-10 00:00:00.009930+00:00\n2024-05-10 00:00:00.5+00:00\n",
    )
    assert times(read_trace(path)) == pytest.approx([0.0, 0.49007])


def test_azures_functions_are_read_by_their_starts(tmp_path: Path) -> None:
    path = write(tmp_path, "app,func,end_timestamp,duration\na,f,10.0,1.0\na,g,10.5,4.0\n")
    assert times(read_trace(path)) == pytest.approx([0.0, 2.5])


def test_seconds_count_from_the_first_arrival(tmp_path: Path) -> None:
    assert times(read_trace(write(tmp_path, "t_s,context_tokens\n5.0,1\n5.5,2\n"))) == [0.0, 0.5]


def test_twitters_seconds_are_counts_and_holes_of_the_recording_are_left_out(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "second_of_day,requests,is_gap\n0,34,0\n1,0,1\n2,0,1\n3,48,0\n5,2,0\n")
    trace = read_trace(path)
    # The holes close up; second 4, which no row names, had no arrival.
    assert counts(trace) == [34, 48, 0, 2]
    assert (trace.period_s, trace.duration_s, trace.total) == (1.0, 4.0, 84)


def test_twitters_minutes_are_counts_of_sixty_seconds(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "minute,day,minute_of_day,requests,max_per_second,zero_seconds\n"
        "0,1,0,2786,64,0\n1,1,1,2711,58,0\n",
    )
    trace = read_trace(path)
    assert (counts(trace), trace.period_s) == ([2786, 2711], 60.0)


def test_any_column_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "when,calls,Hits\n3,1,7\n4,1,9\n")
    assert times(read_trace(path, times="when")) == [0.0, 1.0]
    assert counts(read_trace(path, counts="hits", period_s=300.0)) == [7, 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty; its first line names the columns"),
        ("t_s\n", "the trace is empty; it needs a row an arrival"),
        ("second,requests\n0,0\n", "the trace is empty; none of its counts is above 0"),
        ("t_s\n1\n3\n2\n", "line 4: the trace goes backwards; sort its rows by time"),
        ("second,requests\n5,1\n5,1\n", "line 3: the trace goes backwards"),
        ("t_s\n1\nnan\n", "line 3: 'nan' is no finite number"),
        ("t_s\n1\ninf\n", "line 3: 'inf' is no finite number"),
        ("t_s\n-1\n", "line 2: -1 is negative"),
        ("second,requests\n0,-3\n", "line 2: -3 is negative"),
        ("second,requests\n0,1.5\n", "line 2: 1.5 is no whole number"),
        ("second,requests\n0,1e30\n", "line 2: 1e30 is too large"),
        ("second,requests\n0,1\n1e9,1\n", "line 3: 1000000000 periods after the first one"),
        ("second,requests\n0\n", "line 2: expected 2 columns, found 1"),
        ("t_s\nsoon\n", "line 2: 'soon' is no number"),
        ("TIMESTAMP\n2023-13-16 18:15:46\n", "line 2: '2023-13-16 18:15:46' is no ISO 8601 time"),
        ("when,who\n1,a\n", "line 1: no column of times or counts is known; name one of when, who"),
    ],
)
def test_a_wrong_trace_is_refused_in_one_line_with_file_and_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DocumentError) as refused:
        read_trace(path)
    assert str(refused.value).startswith(f"{path}: {message}")
    assert "\n" not in str(refused.value)


def test_a_column_that_is_not_there_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,2\n")
    with pytest.raises(DocumentError, match="no column 'c'; columns: a, b"):
        read_trace(path, times="c")
    with pytest.raises(DocumentError, match="state `period_s`"):
        read_trace(path, counts="b")
    with pytest.raises(DocumentError, match="No such file"):
        read_trace(tmp_path / "none.csv")
    path.write_bytes(b"t_s\n\xff\xfe\n")
    with pytest.raises(DocumentError, match="not a CSV file of UTF-8"):
        read_trace(path)


def test_a_repeated_trace_begins_again_a_mean_gap_after_its_last_arrival(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, "t_s\n0\n1\n2\n"))
    assert (trace.duration_s, trace.length_s) == (2.0, 3.0)
    counted = read_trace(write(tmp_path, "minute,requests\n0,1\n1,1\n"))
    assert counted.length_s == 120.0
    assert np.isfinite(read_trace(write(tmp_path, "t_s\n7\n")).length_s)

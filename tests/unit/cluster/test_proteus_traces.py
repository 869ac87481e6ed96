"""Traces in the format of Proteus' artifact, written here: none of it is in this repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.arrivals import ReplayArrivals
from cluster.document import DocumentError
from cluster.proteus_traces import read_proteus_folder
from serving.cli.main import run


def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "traces" / "twitter" / "small" / "300"
    folder.mkdir(parents=True)
    (folder / "bert.txt").write_text("# a comment\n114,1,300\n120,1,300\n2154,1,300\n")
    (folder / "yolo.txt").write_text("0\n0,1\n\n1500,1,300")
    return folder


def test_a_file_is_an_application_and_a_line_a_request_in_milliseconds(tmp_path: Path) -> None:
    bert, yolo = read_proteus_folder(clone(tmp_path))
    assert (bert.application, yolo.application) == ("bert", "yolo")
    assert bert.times_s_n.tolist() == pytest.approx([0.114, 0.12, 2.154])
    assert bert.duration_s == pytest.approx(2.04)
    assert yolo.times_s_n.tolist() == [0.0, 0.0, 1.5]


def test_the_verb_writes_what_replay_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = clone(tmp_path), tmp_path / "made"
    assert run(["trace", "proteus", str(folder), "-o", str(output), "--json"]) == 0
    bert, yolo = json.loads(capsys.readouterr().out)["traces"]
    assert (bert["arrivals"], yolo["arrivals"]) == (3, 3)
    trace = ReplayArrivals(kind="replay", file=bert["file"]).trace
    assert trace.total == 3
    assert trace.times_s_n is not None
    assert trace.times_s_n.tolist() == pytest.approx([0.0, 0.006, 2.04])
    assert run(["trace", "proteus", str(folder), "-o", str(output)]) == 0
    assert "bert: 3 arrivals in 2 s; wrote" in capsys.readouterr().out


def test_requests_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    (tmp_path / "t5.txt").write_text("30\n10\n20\n")
    assert read_proteus_folder(tmp_path)[0].times_s_n.tolist() == [0.01, 0.02, 0.03]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5\nsoon,1,300\n", "t5.txt: line 2: 'soon' is no time in milliseconds from 0"),
        ("-5,1,300\n", "t5.txt: line 1: '-5' is no time"),
        ("nan\n", "line 1: 'nan' is no time"),
        ("# nothing\n", "t5.txt: it has no request"),
        ("\xff", "not a text of UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t5.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(DocumentError, match=message):
        read_proteus_folder(tmp_path)


def test_the_root_of_a_clone_is_answered_with_its_folders_of_traces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = clone(tmp_path)
    assert run(["trace", "proteus", str(tmp_path)]) == 2
    assert f"it has no trace, *.txt; below it are {folder}" in capsys.readouterr().err
    with pytest.raises(DocumentError, match="no such folder"):
        read_proteus_folder(tmp_path / "nowhere")

"""Log files: private, bounded, shared by processes, and read in the order of time."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.logs.file import ACCESS, LogFile, OpenLog
from serving.logs.line import MAX_TEXT, MAX_TRACE, Level, LogLine, decode_line, encode_line
from serving.logs.logger import NodeLogger
from serving.logs.read import LogFollower, log_files_of, read_on
from serving.wall_clock import WallClock

OWN = logging.getLogger("serving.tests")


@contextmanager
def opened(folder: Path, level: Level = Level.INFO, name: str = "edge-0") -> Iterator[None]:
    log = OpenLog(folder, name, level, above="serving")
    try:
        yield
    finally:
        log.close()


def record(text: str, created_s: float = 1.0, node: str = "") -> logging.LogRecord:
    made = logging.LogRecord("serving.x", logging.INFO, __file__, 1, text, None, None)
    made.created, made.node = created_s, node
    return made


def read_lines(files: Iterable[Path]) -> list[LogLine]:
    return read_on(files, {}).lines


def line(at_s: float, node: str = "edge-0", text: str = "x") -> LogLine:
    return LogLine(at_s, "INFO", node, "serving.x", text)


def test_a_file_is_made_with_its_first_line_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with opened(folder):
        assert not folder.exists()
        OWN.info("hello")
    assert [path.name for path in folder.iterdir()] == ["edge-0.log"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "edge-0.log").stat().st_mode) == 0o600


def test_a_traceback_stays_with_its_line_and_names_the_node_that_logged(tmp_path: Path) -> None:
    with opened(tmp_path):
        try:
            raise RuntimeError("out of memory")
        except RuntimeError:
            NodeLogger(OWN, "edge-1").exception("failed\nbadly")
        OWN.warning("of the process")
    failed, other = read_lines(tmp_path.iterdir())
    assert (failed.node, failed.level, failed.text) == ("edge-1", "ERROR", "failed\nbadly")
    assert failed.logger == "serving.tests"
    assert failed.trace.startswith("Traceback")
    assert failed.trace.endswith("RuntimeError: out of memory")
    assert (other.node, other.trace) == ("edge-0", "")
    assert len((tmp_path / "edge-0.log").read_bytes().splitlines()) == 2


def test_a_line_survives_its_file() -> None:
    written = LogLine(12.000001, "ERROR", "edge-0", "serving.x", 'a "b"\nc é', "Traceback\n  z")
    assert decode_line(encode_line(written).encode()) == written


@pytest.mark.parametrize(
    "noise", [b"", b"{", b"[]", b"1", b"\xff\x00", b'{"at_s": 1}', b'{"x": 1}']
)
def test_what_is_no_line_is_none(noise: bytes) -> None:
    assert decode_line(noise) is None


def test_long_texts_are_cut_and_long_tracebacks_keep_their_end(tmp_path: Path) -> None:
    with opened(tmp_path):
        OWN.info("a" * 10 * MAX_TEXT)
        try:
            raise RuntimeError("b" * 10 * MAX_TRACE + "end")
        except RuntimeError:
            OWN.exception("c")
    long, failed = read_lines(tmp_path.iterdir())
    assert len(long.text) == MAX_TEXT + len("...")
    assert len(failed.trace) == MAX_TRACE + len("...")
    assert failed.trace.endswith("end")


def test_two_files_are_the_most_that_a_log_takes(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "edge-0.log", "edge-0", max_bytes=2_000)
    for number in range(200):
        file.emit(record(f"line {number}", created_s=number))
    file.close()
    found = read_lines(log_files_of(tmp_path, "edge-0"))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * 2_200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edge-0.log", "edge-0.log.1"]
    assert [line.at_s for line in found] == list(range(200 - len(found), 200))


def test_two_processes_may_write_one_log(tmp_path: Path) -> None:
    """A node and the one that replaces it: neither goes on in a file that was set aside."""
    path = tmp_path / "edge-0.log"
    old, new = (LogFile(path, "edge-0", max_bytes=3_000) for _ in range(2))
    for number in range(30):
        old.emit(record("old", created_s=2 * number))
        new.emit(record("new", created_s=2 * number + 1))
    found = read_lines(tmp_path.iterdir())
    assert len(found) > 20
    assert [line.at_s for line in found] == list(range(60 - len(found), 60))
    old.close()
    new.close()


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    with opened(tmp_path / "logs"):
        OWN.info("before")
        (tmp_path / "logs" / "edge-0.log").unlink()
        (tmp_path / "logs").rmdir()
        OWN.info("after")
    assert [line.text for line in read_lines((tmp_path / "logs").iterdir())] == ["after"]


def test_a_log_that_cannot_be_written_costs_its_lines_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    (tmp_path / "logs").write_text("a file where the folder should be")
    before = LogFile.lost
    with opened(tmp_path / "logs"):
        OWN.error("lost")
        OWN.error("and another")
    assert LogFile.lost == before + 2


def test_requests_have_a_file_of_their_own(tmp_path: Path) -> None:
    with opened(tmp_path):
        OWN.info("an event")
        logging.getLogger(ACCESS).info("a request")
    for name, text in (("edge-0.log", "an event"), ("edge-0.access.log", "a request")):
        assert [line.text for line in read_lines([tmp_path / name])] == [text]
    assert len(read_lines(log_files_of(tmp_path, "edge-0"))) == 2


def test_the_level_decides_what_is_written_and_is_put_back(tmp_path: Path) -> None:
    before = logging.getLogger("serving").level
    for level, most in ((Level.WARNING, 1), (Level.DEBUG, 3)):
        with opened(tmp_path / level, level):
            OWN.debug("d")
            OWN.info("i")
            OWN.warning("w")
        assert len(read_lines((tmp_path / level).iterdir())) == most
    assert logging.getLogger("serving").level == before
    assert not [h for h in logging.getLogger("serving").handlers if isinstance(h, LogFile)]


def test_a_node_keeps_what_libraries_warn_of(tmp_path: Path) -> None:
    log = OpenLog(tmp_path, "edge-0")
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    logging.getLogger("asyncio").debug("chatter")
    log.close()
    (found,) = read_lines(tmp_path.iterdir())
    assert (found.node, found.logger) == ("edge-0", "asyncio")


def test_lines_of_several_files_come_by_time_and_torn_ones_are_left_out(tmp_path: Path) -> None:
    first = "\n".join(encode_line(line(at_s, "edge-0")) for at_s in (1.0, 4.0))
    torn = encode_line(line(9.0, "cloud"))[:-5]
    (tmp_path / "edge-0.log").write_text(first + "\n")
    (tmp_path / "cloud.log").write_text(encode_line(line(2.0, "cloud")) + "\nnoise\n" + torn)
    found = read_lines([*tmp_path.iterdir(), tmp_path / "gone.log"])
    assert [(line.at_s, line.node) for line in found] == [
        (1.0, "edge-0"), (2.0, "cloud"), (4.0, "edge-0"),
    ]  # fmt: skip


def test_a_follower_gives_each_line_once_whatever_the_clocks_say(tmp_path: Path) -> None:
    """The edge's clock is set an hour forward, and then two hours back."""

    def write(node: str, *at_s: float) -> list[LogLine]:
        lines = [line(each, node) for each in at_s]
        with (tmp_path / f"{node}.log").open("a") as file:
            file.writelines(f"{encode_line(one)}\n" for one in lines)
        return lines

    follower = LogFollower(lambda: sorted(tmp_path.glob("*.log*")))
    assert follower.look() == []
    assert follower.look() == []
    written = write("edge-0", 10_000.0, 10_001.0)
    assert follower.look() == written
    assert follower.look() == []
    for edge_s, cloud_s in ((13_602.0, 10_002.0), (6_403.0, 10_003.0), (6_404.0, 10_004.0)):
        written = write("edge-0", edge_s) + write("cloud", cloud_s)
        assert follower.look() == sorted(written, key=lambda one: one.at_s)
        assert follower.look() == []


def test_a_follower_reads_on_in_a_file_that_was_set_aside_and_waits_for_the_end_of_a_line(
    tmp_path: Path,
) -> None:
    path, whole = tmp_path / "edge-0.log", encode_line(line(1.0)) + "\n"
    follower = LogFollower(lambda: sorted(tmp_path.glob("*.log*")))
    path.write_text(whole + whole[:20])
    assert follower.look() == [line(1.0)]
    with path.open("a") as file:
        file.write(whole[20:])
    path.rename(tmp_path / "edge-0.log.1")
    path.write_text(encode_line(line(2.0)) + "\n")
    assert follower.look() == [line(1.0), line(2.0)]
    path.unlink()
    assert follower.look() == []


def test_lines_have_the_time_of_the_node_that_logs(tmp_path: Path) -> None:
    clock = WallClock(lambda: 100.0)
    log = OpenLog(tmp_path, "edge-0", above="serving", wall_clock=clock)
    try:
        OWN.info("before")
        clock.ahead_s = 3_600.0
        OWN.info("after")
    finally:
        log.close()
    before, after = read_lines(tmp_path.iterdir())
    assert clock() == 3_700.0
    assert 3_600.0 <= after.at_s - before.at_s < 3_660.0

"""What is told of GPUs, and in which words, where they cannot be used or do not tell all."""

from __future__ import annotations

import pytest

from cluster.boards import BoardProcess, Boards, MigInstance, read_boards
from support.nvml_fake import FakeBoard, FakeNvml

GIB = 2**30


def seen(*boards: FakeBoard, visible: str | None = None) -> Boards:
    nvml = FakeNvml(*boards)
    found = read_boards(nvml, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    assert nvml.open == 0
    return found


def test_a_board_tells_what_it_is_and_who_is_on_it() -> None:
    found = seen(FakeBoard("GPU-a", 10 * GIB, processes=[(77, 3 * GIB), (78, None)]))
    assert (found.driver, found.cuda_driver, found.fault) == ("570.86.10", "12.8", "")
    board = found.boards[0]
    assert (board.name, board.uuid, board.cuda) == ("NVIDIA Fake", "GPU-a", (0,))
    assert (board.free_bytes, board.total_bytes) == (10 * GIB, 20 * GIB)
    assert (board.sm_mhz, board.most_sm_mhz, board.memory_mhz) == (1_200, 1_980, 2_600)
    assert (board.power_w, board.power_limit_w, board.celsius) == (71.5, 700.0, 31)
    assert board.utilization == 0.4
    assert board.processes == (BoardProcess(77, 3 * GIB), BoardProcess(78, None))
    assert board.faults == {}
    assert found.notes(GIB) == ()


def test_without_a_driver_it_says_what_computes_instead() -> None:
    found = read_boards(FakeNvml(driver=False), {})
    assert found.boards == ()
    assert found.notes() == ("no NVIDIA driver here: nodes compute on the CPU (Driver Not Loaded)",)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (4, "NVML may not be used by this user (Insufficient Permissions): add the user to"),
        (999, "NVML does not start: Unknown Error; `nvidia-smi` may say more"),
    ],
)
def test_a_driver_that_may_not_be_used_is_told_in_one_line(code: int, says: str) -> None:
    (line,) = read_boards(FakeNvml(driver=False, start=code), {}).notes()
    assert line.startswith(says)


def test_what_a_board_does_not_support_is_unknown_and_the_rest_is_told() -> None:
    found = seen(FakeBoard("GPU-a", GIB, lacks=("power limit", "power", "utilization")))
    board = found.boards[0]
    assert (board.power_w, board.power_limit_w, board.utilization) == (None, None, None)
    assert board.free_bytes == GIB
    assert found.notes() == (
        "board 0: NOT_SUPPORTED, it does not tell power, power limit, utilization",
    )


def test_what_this_user_may_not_read_is_named() -> None:
    found = seen(FakeBoard("GPU-a", GIB, refuses=("processes", "clock")))
    (line,) = found.notes()
    assert line.startswith("board 0: this user may not read processes, clock")
    assert found.boards[0].sm_mhz is None


def test_a_board_that_is_lost_stops_no_other() -> None:
    found = seen(FakeBoard("GPU-a", GIB, there=False), FakeBoard("GPU-b", GIB))
    assert found.notes() == ("board 0: anything: GPU is lost",)
    assert found.boards[1].free_bytes == GIB


def test_too_little_memory_is_told_with_who_has_it() -> None:
    found = seen(FakeBoard("GPU-a", GIB // 2, processes=[(77, 3 * GIB), (78, None)]))
    assert found.notes(GIB) == (
        "board 0: too little memory, 512 MiB are free and 1024 MiB are wanted; processes there: "
        "77 (3072 MiB), 78",
    )
    assert found.notes() == ()


def test_a_board_that_cuda_visible_devices_hides_has_no_number() -> None:
    found = seen(FakeBoard("GPU-a", GIB), FakeBoard("GPU-b", GIB), visible="GPU-b")
    assert [board.cuda for board in found.boards] == [(), (0,)]
    assert found.notes() == (
        "board 0: hidden by CUDA_VISIBLE_DEVICES=GPU-b; nodes cannot use it unless that names it",
    )


def test_a_split_board_tells_its_instances_and_their_numbers() -> None:
    found = seen(FakeBoard("s", 9 * GIB, mig=(GIB, 2 * GIB)), FakeBoard("GPU-b", GIB))
    board = found.boards[0]
    assert board.instances == (
        MigInstance("MIG-s-0", 2 * GIB, GIB), MigInstance("MIG-s-1", 4 * GIB, 2 * GIB),
    )  # fmt: skip
    assert board.cuda == (0, 1)
    assert found.boards[1].cuda == (2,)


def test_a_driver_without_boards_is_told() -> None:
    assert seen().notes() == ("the NVIDIA driver 570.86.10 runs, and has no board",)

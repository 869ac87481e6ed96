"""Lines through what clusters took, and when a larger one is not begun."""

from __future__ import annotations

import pytest

from serving.scale.result import GROWING, MemoryFigures, ScaleRow, slopes_of
from serving.scale.room import refusal_of
from support.scale_rows import row_of

GIB = 2**30


def test_the_line_through_figures_that_grow_evenly_is_theirs() -> None:
    slopes = slopes_of([row_of(nodes) for nodes in (4, 8, 16)])
    assert [slope.figure for slope in slopes] == list(GROWING)
    found = {slope.figure: slope for slope in slopes}
    assert found["launch_s"].each_node == pytest.approx(2)
    assert found["launch_s"].at_none == pytest.approx(1)
    assert found["launch_s"].standard_error == pytest.approx(0, abs=1e-9)
    assert found["up_s"].each_node == pytest.approx(0, abs=1e-9)


def test_the_standard_error_is_that_of_least_squares() -> None:
    rows = [
        row_of(nodes).model_copy(update={"up_s": up_s}) for nodes, up_s in ((1, 1), (2, 2), (3, 2))
    ]
    slope = slopes_of(rows)[0]
    assert slope.figure == "up_s"
    assert slope.each_node == pytest.approx(0.5)
    # Residuals -1/6, 1/3, -1/6: their squares are 1/6; one degree of freedom, squares of nodes 2.
    assert slope.standard_error == pytest.approx((1 / 6 / 2) ** 0.5)


def test_two_clusters_give_a_line_without_an_error_and_one_gives_none() -> None:
    assert {slope.standard_error for slope in slopes_of([row_of(4), row_of(8)])} == {None}
    assert slopes_of([row_of(4)]) == ()


def test_memory_of_nodes_is_the_median_and_the_most() -> None:
    assert MemoryFigures.of([3, 1, 2]) == MemoryFigures(median_bytes=2, most_bytes=3)


@pytest.mark.parametrize(
    ("rows", "free_bytes", "refused"),
    [
        ([], 2 * GIB, None),  # four nodes of 256 MiB, and a fifth more
        ([], GIB, "4 nodes would take about 1.2 GiB (256 MiB each, as a process with Ray takes,"),
        ([row_of(2)], 2 * GIB, None),
        ([row_of(2)], GIB, "4 nodes would take about 1.2 GiB (250 MiB each, as 2 took, and a"),
    ],
    ids=["first-fits", "first-does-not", "next-fits", "next-does-not"],
)
def test_a_cluster_that_would_not_fit_is_not_begun(
    rows: list[ScaleRow], free_bytes: int, refused: str | None
) -> None:
    found = refusal_of(4, free_bytes, rows)
    if refused is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(refused)
        assert found.endswith("and 1.0 GiB are free")

"""Answers as pictures: side by side, in the terminal, and what is known of a room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.cli.ask_verb import in_the_terminal, side_by_side
from serving.client.wire import infer_call

RED = np.full((96, 96, 3), (255, 0, 0), np.uint8)
BLUE = np.full((48, 48, 3), (0, 0, 255), np.uint8)


def test_pictures_stand_side_by_side_as_high_as_the_answer() -> None:
    drawn = side_by_side([np.zeros((300, 600, 3), np.uint8), RED, BLUE])
    assert drawn.shape == (192, 384 + 192 + 192 + 2 * 4, 3)
    assert drawn[96, 500].tolist() == [255, 0, 0]
    assert drawn[96, -1].tolist() == [0, 0, 255]
    assert drawn[96, 386].tolist() == [255, 255, 255]


def test_a_character_shows_two_pixels() -> None:
    two = np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8)
    text = in_the_terminal(two)
    assert text.plain == "▀\n"
    assert str(text.spans[0].style) == "#ff0000 on #0000ff"


def test_a_picture_is_sent_by_its_path(tmp_path: Path) -> None:
    Image.fromarray(RED).save(tmp_path / "red.png")
    raw = (tmp_path / "red.png").read_bytes()
    for given in (tmp_path / "red.png", str(tmp_path / "red.png"), raw):
        call = infer_call("depth", given, None, "")
        assert (call.body, call.headers["content-type"]) == (raw, "image/png")
    with pytest.raises(ValueError, match=r"image: .*nosuch.png: No such file"):
        infer_call("depth", tmp_path / "nosuch.png", None, "")

"""The corpus of `make fuzz` for the decoder of pictures, which needs torch."""

from __future__ import annotations

import pytest

from fuzz.decoded_pictures import DECODED_PICTURES

CORPUS = DECODED_PICTURES.corpus()


@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus_is_decoded_or_refused_within_its_bounds(name: str) -> None:
    DECODED_PICTURES.check(CORPUS[name])

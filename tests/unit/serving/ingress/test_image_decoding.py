"""Large pictures are decoded off the event loop, in bounded number."""

from __future__ import annotations

import asyncio
import io
import threading

import numpy as np
import pytest
from PIL import Image

from models.runtime.picture_header import PictureHeader, read_header
from serving.errors import BadQueryError, RefusedError
from serving.http.limits import Limits
from serving.ingress.image_decoding import PictureDecoder, is_heavy


def encoded(kind: str, side: int, **options: int | bool) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, format=kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "heavy"),
    [
        (encoded("png", 96), False),
        (encoded("jpeg", 96), False),
        (encoded("png", 1_500), True),
        (encoded("jpeg", 2_000), True),
        (encoded("jpeg", 1_200, progressive=True, optimize=True), True),
        (encoded("jpeg", 300, progressive=True, optimize=True), True),
    ],
)
def test_a_glance_tells_large_pictures(body: bytes, heavy: bool) -> None:
    assert is_heavy(read_header(body)) is heavy


def test_large_pictures_leave_the_loop_and_small_ones_stay() -> None:
    places = []

    def decode(body: bytes, header: PictureHeader) -> np.ndarray:
        places.append(threading.current_thread().name)
        return np.zeros((1, 1, 3), np.uint8)

    async def scenario() -> None:
        decoder = PictureDecoder(decode, Limits())
        await decoder.decode(encoded("png", 96))
        await decoder.decode(encoded("png", 1_500))

    asyncio.run(scenario())
    assert places[0] == threading.current_thread().name
    assert places[1].startswith("pictures")


def test_no_more_large_pictures_wait_than_may_and_the_rest_are_refused() -> None:
    go_on = threading.Event()

    def decode(body: bytes, header: PictureHeader) -> np.ndarray:
        go_on.wait(10)
        return np.zeros((1, 1, 3), np.uint8)

    async def scenario() -> list[np.ndarray | BaseException]:
        decoder = PictureDecoder(decode, Limits(decoding=3))
        large = encoded("png", 1_500)
        asked = [asyncio.ensure_future(decoder.decode(large)) for _ in range(5)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert (await decoder.decode(large)).shape == (1, 1, 3)  # there is room again
        return done

    done = asyncio.run(scenario())
    refused = [one for one in done if isinstance(one, RefusedError)]
    assert len(done) - len(refused) == 3
    assert {one.reason for one in refused} == {"door_full"}


@pytest.mark.parametrize("error", [EOFError("end"), KeyError("k"), MemoryError(), ValueError("no")])
def test_every_fault_of_a_decoder_is_the_bodys(error: Exception) -> None:
    def decode(body: bytes, header: PictureHeader) -> np.ndarray:
        raise error

    with pytest.raises(BadQueryError) as caught:
        asyncio.run(PictureDecoder(decode, Limits()).decode(encoded("png", 96)))
    assert caught.value.status == 422

"""What a node's process does so that Python's collector of cycles does not stall its event loop.

torch, Ray and the models leave half a million objects that live as long as the process. Under
load a full collection goes through all of them, again and again: at three times a node's peak it
took two fifths of the loop's time, and every query waited for it.
"""

from __future__ import annotations

import gc

__all__ = ["settle_heap"]

YOUNG_OBJECTS = 50_000
"""made since the last collection, from which on the next is due; Python's default is 700. A full
queue holds some ten thousand, and each collection goes through them: 9 ms of a core"""


def settle_heap() -> None:
    """Take what is there now out of all later collections.

    To be called once, when all is imported and before models are loaded: what is set aside is
    freed when nothing refers to it, but cycles of it are not found any more, and models come and
    go.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)

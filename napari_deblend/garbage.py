"""What is not looked through for garbage: what is there when a window first rests.

Libraries and the window itself are half a million objects. To look through them takes 0.3 s, in which nothing is drawn;
Python does so now and then, and napari whenever a layer goes.
"""

from __future__ import annotations

import gc

_sparing: set[int] = set()
"""The windows that are open, and have rested."""


def spare(window: int) -> None:
    """Take all that there is for what stays, when a window rests for the first time."""
    if window not in _sparing:
        _sparing.add(window)
        gc.freeze()


def spare_no_more(window: int) -> None:
    """Look everywhere again when a window goes: most of what it was made of goes with it."""
    if window in _sparing:
        _sparing.discard(window)
        gc.unfreeze()

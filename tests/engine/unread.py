"""Blends that cannot be fitted, for tests of who hands them out: nothing is compiled for them."""

from __future__ import annotations

from deblend.batch import Frame, Task
from deblend.batch.blends import Blend
from deblend.sky import Channel, PixelBox

FRAME = Frame((Channel("any", "i"),), 1.0, 1, 10)


def unread(count: int) -> list[Task]:
    """Return so many of them; each says its number."""
    box = PixelBox((0, 40), (0, 40))
    return [Task.failed(Blend(k, 0, (k,), (), box), f"unread {k}") for k in range(count)]

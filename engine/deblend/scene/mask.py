"""Pixels that a person has painted over: they say nothing of the sky, until they are uncovered again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from deblend.sky import Channel


@dataclass(frozen=True, eq=False)
class PixelMask:
    """What is hidden of the images of one observation."""

    channel: Channel
    """The first one of the observation."""
    hidden: Bool[np.ndarray, "y x"]
    """Where it is hidden, in all of its bands; never written in place."""

    def __post_init__(self) -> None:
        hidden = np.array(self.hidden, dtype=bool)
        if hidden.ndim != 2:
            raise ValueError(f"A mask of pixels is a picture (y, x), got shape {hidden.shape}.")
        hidden.setflags(write=False)
        object.__setattr__(self, "hidden", hidden)

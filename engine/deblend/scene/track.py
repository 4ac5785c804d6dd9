"""Things that move: one star per epoch, all of them on a straight line in time.

An asteroid is many pixels further on in the next image, so each epoch has a box of its own; what makes one thing of
them is that their centers share a place and a motion.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deblend.scene.parameter import Parameter
from deblend.sky import Channel

TRACK_SCATTER = 3.0
"""How far a moving thing is believed to be from where it was expected, per axis [pix]."""


@dataclass(frozen=True)
class Track:
    """What a source that is seen at one epoch belongs to."""

    id: str
    """Shared by all sources of one moving thing."""
    time: float
    """When the source is seen [MJD, days]."""
    is_placed: bool = False
    """Whether a person has said where it is then."""


@dataclass(frozen=True, eq=False)
class Motion:
    """A straight line in time, in pixels of the scene."""

    place: tuple[float, float]
    """(x, y) at `time` [pix]."""
    velocity: tuple[float, float]
    """Along x and y [pix/day]."""
    time: float
    """[MJD, days]"""

    def at(self, time: float) -> tuple[float, float]:
        """Return (x, y) at a time [MJD]."""
        x, y = (p + v * (time - self.time) for p, v in zip(self.place, self.velocity, strict=True))
        return x, y


def fitted_motion(times: Sequence[float], places: Sequence[Sequence[float]]) -> Motion:
    """Return the line through places (time, 2) as (x, y); raises ValueError where all are of one time."""
    when = np.asarray(times, float)
    middle = float(when.mean())
    if np.ptp(when) == 0:
        raise ValueError("A motion needs places at two times at least.")
    velocity, place = np.polynomial.polynomial.polyfit(when - middle, np.asarray(places, float), 1)[::-1]
    return Motion((float(place[0]), float(place[1])), (float(velocity[0]), float(velocity[1])), middle)


def epochs_of(channels: Sequence[Channel]) -> dict[float, list[int]]:
    """Return the indices of the channels of each time [MJD], in the order of time; raises ValueError where a channel
    has none, or all have the same."""
    found: dict[float, list[int]] = {}
    for index, channel in enumerate(channels):
        time = channel.time
        if time is None:
            raise ValueError(f"{channel} has no epoch; what moves needs to know when each image was taken.")
        found.setdefault(time, []).append(index)
    if len(found) < 2:
        raise ValueError("All images are of one epoch; what moves needs two at least.")
    return dict(sorted(found.items()))


def new_track_id() -> str:
    """Return an id that no other track has."""
    return uuid.uuid4().hex[:8]


def only_in(n_channels: int, shining: Sequence[int]) -> Parameter:
    """Return a spectrum that is to be solved for in some channels, and dark in the others."""
    value = np.zeros(n_channels)
    value[list(shining)] = np.nan
    return Parameter(value, lower=0.0)

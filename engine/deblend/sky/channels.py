"""Channels: what one plane of an image stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

J2000_MJD, DAYS_PER_YEAR = 51544.5, 365.25


class Channel(NamedTuple):
    """One passband of one survey at one time; two surveys may both have a band named r."""

    survey: str
    band: str
    epoch: str | None = None
    """When it was taken: a modified Julian date, or a date as in ISO 8601; None where that does not matter."""

    def __str__(self) -> str:
        return " ".join(part for part in self if part)

    @property
    def name(self) -> str:
        """What tells it from others of its survey: the band, and the epoch where it has one."""
        return self.band if self.epoch is None else f"{self.band} {self.epoch}"

    @property
    def exposure(self) -> tuple[str, str | None]:
        """The survey and the epoch: channels that have both in common were registered together."""
        return self.survey, self.epoch

    @property
    def time(self) -> float | None:
        """When it was taken [MJD, days]; None without an epoch. Raises ValueError where the epoch is no date."""
        if self.epoch is None:
            return None
        try:
            return modified_julian_date(self.epoch)
        except ValueError as error:
            raise ValueError(
                f"The epoch {self.epoch!r} of {self.survey} {self.band} is no date; give an MJD or one as in "
                "2026-11-21T05:30:00."
            ) from error

    @property
    def julian_year(self) -> float | None:
        """When it was taken [Julian year]; None without an epoch. Raises ValueError where the epoch is no date."""
        time = self.time
        return None if time is None else 2000.0 + (time - J2000_MJD) / DAYS_PER_YEAR


def modified_julian_date(said: str) -> float:
    """Return the MJD [days] of a number, or of a date as in ISO 8601; raises ValueError where a text is neither."""
    try:
        return float(said)
    except ValueError:  # no number: then it is a date, or astropy says that it is none
        from astropy.time import Time  # late: it is slow to come, and few need it

        return float(Time(said, scale="utc").mjd)


def same_passbands(channels: Sequence[Channel]) -> list[list[int]]:
    """Return the indices of the channels of each passband of each survey, in the order of the first of each."""
    found: dict[tuple[str, str], list[int]] = {}
    for index, channel in enumerate(channels):
        found.setdefault((channel.survey, channel.band), []).append(index)
    return list(found.values())

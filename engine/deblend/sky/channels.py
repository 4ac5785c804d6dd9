"""Channels: what one plane of an image stands for."""

from __future__ import annotations

from typing import NamedTuple


class Channel(NamedTuple):
    """One passband of one survey at one time; two surveys may both have a band named r."""

    survey: str
    band: str
    epoch: str | None = None

    def __str__(self) -> str:
        return " ".join(part for part in self if part)

"""Epochs: images of one passband that were taken at different times, told apart by when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deblend.io.fits_file import Cards
from deblend.io.picture import Picture
from deblend.sky import Channel, modified_julian_date

MJD_CARDS = ("MJD-AVG", "MJD-MID", "MJD-OBS", "MJD-BEG", "EXPMID", "EXPSTART", "MJD")
DATE_CARDS = ("DATE-AVG", "DATE-MID", "DATE-OBS", "DATE-BEG")


def epoch_of(cards: Cards) -> str | None:
    """Return when an image was taken, as a modified Julian date [days] to a second; None where its header is silent."""
    number = cards.number(*MJD_CARDS)
    if number is not None:
        return f"{number[1]:.5f}"
    text = cards.get(*DATE_CARDS)
    if not isinstance(text, str):
        return None
    try:
        return f"{modified_julian_date(text.strip()):.5f}"
    except ValueError:  # a card that is no date tells nothing
        return None


def with_epochs(pictures: Sequence[Picture], epochs: str | Sequence[str] | None = None) -> list[Picture]:
    """Return pictures with the epochs that a person gives, one each (a text is split at commas), or else those of the
    headers where one band of one survey comes several times.

    Raises ValueError where epochs are no dates, or not as many as pictures.
    """
    if epochs is not None:
        names = [name.strip() for name in (epochs.split(",") if isinstance(epochs, str) else epochs)]
        if len(names) != len(pictures) or not all(names):
            raise ValueError(
                f"There are {len(pictures)} images, and --epochs names {len(names)}; give one date per image, in order."
            )
        for picture, name in zip(pictures, names, strict=True):
            # says what is wrong with it, where it is no date
            _ = Channel(picture.survey or picture.path.name, picture.bands[0], name).time
        return [replace(picture, epoch=name) for picture, name in zip(pictures, names, strict=True)]
    seen: dict[tuple[str | None, str], list[Picture]] = {}
    for picture in pictures:
        for band in picture.bands:
            seen.setdefault((picture.survey, band), []).append(picture)
    told = {id(p): None if p.cards is None else epoch_of(p.cards) for p in pictures}
    several = {
        id(p)
        for same in seen.values()
        for p in same
        if len(same) > 1 and len({told[id(q)] for q in same} - {None}) == len(same)
    }
    return [replace(p, epoch=told[id(p)]) if id(p) in several else p for p in pictures]

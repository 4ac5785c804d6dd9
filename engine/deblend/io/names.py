"""Names of bands and surveys, from header cards."""

from __future__ import annotations

import re

from deblend.io.fits_file import Cards

SURVEY_CARDS = ("SURVEY", "TELESCOP", "INSTRUME")
_SURVEY_FILTER = re.compile(r"(HSC|LSST|SDSS|DES)[-_ ](\S+)", re.IGNORECASE)
"""Filters that carry the name of their survey: HSC-G."""


def split_filter(name: str) -> tuple[str | None, str]:
    """Split the name of a filter into survey, where it carries one, and band: HSC-G is band g of HSC."""
    match = _SURVEY_FILTER.fullmatch(name.strip())
    if match:
        return match[1].upper(), match[2].lower()
    # DECam: "g DECam SDSS c0001 4720.0 1520.0"
    return None, name.split()[0]


def survey_of(cards: Cards) -> str | None:
    """Return the survey that a header names; None where it names none."""
    name = cards.get("FILTER")
    survey = split_filter(name)[0] if isinstance(name, str) else None
    return survey or _text(cards.get(*SURVEY_CARDS))


def bands_of(cards: Cards, n_planes: int, stem: str, where: str) -> tuple[tuple[str, ...], str | None]:
    """Return the name of every plane, and a sentence where the header names none.

    BANDS with commas, else BAND1…n, else BANDS as letters, else FILTER, else `stem` and a number. Raises
    ValueError where BANDS names another number of bands than there are planes.
    """
    listed = _text(cards.get("BANDS"))
    if listed and "," in listed:
        names = tuple(name.strip() for name in listed.split(","))
        if len(names) != n_planes or not all(names):
            raise ValueError(
                f"{where}: BANDS = '{listed}' does not name the {n_planes} planes of the data; mend the card or give "
                "--bands."
            )
        return names, None
    numbered = [_text(cards.get(f"BAND{i + 1}")) for i in range(n_planes)]
    if all(numbered):
        return tuple(str(name) for name in numbered), None
    if listed and len(listed) == n_planes:
        return tuple(listed), None
    name = _text(cards.get("FILTER"))
    if name and n_planes == 1:
        return (split_filter(name)[1],), None
    names = tuple(f"{stem}_{i + 1}" for i in range(n_planes))
    return names, f"names no band; called {', '.join(names)} (give --bands to name them)."


def _text(value: object) -> str | None:
    return None if value is None else str(value).strip() or None

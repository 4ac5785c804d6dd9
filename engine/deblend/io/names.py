"""Names of bands and surveys, from header cards."""

from __future__ import annotations

import re
from pathlib import Path

from deblend.io.fits_file import Cards, stem

SURVEY_CARDS = ("SURVEY", "TELESCOP", "INSTRUME")
_SURVEY_FILTER = re.compile(r"(HSC|LSST|SDSS|DES)[-_ ](\S+)", re.IGNORECASE)
"""Filters that carry the name of their survey: HSC-G."""
_SPACE_FILTER = re.compile(r"f\d{3}(w|m|n|lp|x)2?", re.IGNORECASE)
_LETTERS = set("ugrizyYJHK")
_FILE_NAMES = {
    "LegacySurvey": re.compile(r"legacysurvey-[^-]+-image-(?P<band>[a-zA-Z]\d?)\."),
    "Euclid": re.compile(r"EUC_MER_(BGSUB-)?MOSAIC-(?P<band>[A-Z]+(-[A-Z])?)(-\w+)?_TILE"),
    "SDSS": re.compile(r"frame-(?P<band>[ugriz])-\d{6}-\d-\d{4}\."),
}
"""Surveys whose files tell survey and band by their names, and whose headers may not."""


def split_filter(name: str) -> tuple[str | None, str]:
    """Split the name of a filter into survey, where it carries one, and band: HSC-G is band g of HSC."""
    match = _SURVEY_FILTER.fullmatch(name.strip())
    if match:
        return match[1].upper(), match[2].lower()
    # DECam: "g DECam SDSS c0001 4720.0 1520.0"
    return None, name.split()[0]


def by_name(path: Path) -> tuple[str | None, str | None]:
    """Return the survey and the band that the name of a file tells, where it is as a survey names its files."""
    for survey, pattern in _FILE_NAMES.items():
        match = pattern.match(path.name)
        if match:
            band = match["band"]
            return survey, band.lower() if len(band) == 1 else band.upper()
    return None, None


def survey_of(cards: Cards, path: Path) -> str | None:
    """Return the survey that the name of a file or its header names; None where they name none."""
    name = cards.get("FILTER")
    survey = split_filter(name)[0] if isinstance(name, str) else None
    return by_name(path)[0] or survey or _text(cards.get(*SURVEY_CARDS))


def bands_of(cards: Cards, n_planes: int, path: Path, where: str) -> tuple[tuple[str, ...], str | None]:
    """Return the name of every plane, and a sentence where the header names none.

    BANDS with commas, else BAND1…n, else BANDS as letters, else FILTER, else the name of the file where a survey
    has a rule for it, or where a word of it has a letter of a usual band for each plane (cube_grizy), or is a filter of
    Hubble or Webb (f814w); else that name and a number. Raises ValueError where BANDS names another number of bands
    than there are planes.
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
    name, told = _text(cards.get("FILTER")), by_name(path)[1]
    if name and n_planes == 1:
        return (split_filter(name)[1],), None
    if told and n_planes == 1:
        return (told,), None
    if letters := _letters_of(path, n_planes):
        return letters, f"names no band; its file's name says {', '.join(letters)}, it seems (else give --bands)."
    names = tuple(f"{stem(path)}_{i + 1}" for i in range(n_planes))
    return names, f"names no band; called {', '.join(names)} (give --bands to name them)."


def _letters_of(path: Path, n_planes: int) -> tuple[str, ...]:
    """Return the bands that a word of a file's name says; none where there is no such word, or several."""
    words = re.split(r"[^A-Za-z0-9]+", stem(path))
    if n_planes == 1:
        found = [(word.upper(),) for word in words if _SPACE_FILTER.fullmatch(word)]
    else:
        found = [tuple(word) for word in words if len(word) == n_planes == len(set(word)) and set(word) <= _LETTERS]
    return found[0] if len(found) == 1 else ()


def _text(value: object) -> str | None:
    return None if value is None else str(value).strip() or None

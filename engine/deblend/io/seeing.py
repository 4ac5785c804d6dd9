"""PSFs of which only the width is known: from a map of it (Legacy Surveys' psfsize), or from a header card."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from deblend.io.fits_file import Cards, read_image
from deblend.io.picture import Picture

BETA = 3.0
"""Of the Moffat profile that stands for a PSF of known width: wings as the atmosphere makes them (Moffat 1969)."""
ARCSEC_CARDS = ("PSFSIZE", "PSF_FWHM", "PSFFWHM", "SEEING")
"""Cards that hold a full width at half maximum [arcsec, unless their comment says pixels]."""
SAID_CARDS = ("FWHM", "STARFWHM", "IQ")
"""Cards that count only where their comment says in which unit they are."""
WIDEST = 10.0
"""A wider PSF is none [arcsec]."""


def is_width_map(path: Path) -> bool:
    """Tell whether a file holds a map of the PSF's width, by its name."""
    return path.is_file() and bool(re.search(r"(^|[-_.])(psfsize|psffwhm)([-_.]|$)", path.name, re.IGNORECASE))


def words_of_map(path: Path, picture: Picture) -> tuple[str, str]:
    """Return the PSF at the middle of a map of widths [arcsec], as an image is cut from it, as words, and a sentence.

    Raises ValueError, naming the file, where no width is positive.
    """
    image = read_image(path, cut=picture.piece.again if picture.piece else None)
    plane = image.cube()[0]
    middle = plane[plane.shape[0] // 2, plane.shape[1] // 2]
    known = plane[np.isfinite(plane) & (plane > 0)]
    if not known.size:
        raise ValueError(f"{image.where}: no width in it is above 0; give another --psf.")
    width = float(middle if np.isfinite(middle) and middle > 0 else np.median(known))
    spread = f"{known.min():.2f} to {known.max():.2f}"
    return _moffat(f"{width:.6g}"), (
        f"{path.name}: only the width of the PSF is known, {width:.3g} arcsec at the middle ({spread} over the image); "
        f"a Moffat profile with beta {BETA:g} is assumed."
    )


def words_of_header(picture: Picture) -> tuple[str, str] | None:
    """Return the PSF that a header tells the width of as words, and a sentence on it; None where it tells none."""
    found = None if picture.cards is None else _width(picture.cards)
    if found is None or (not found[2] and picture.wcs is None):
        return None
    card, width, in_pixels = found
    unit = "px" if in_pixels else "arcsec"
    return _moffat(f"{width:.6g}{'px' if in_pixels else ''}"), (
        f"{picture.path.name}: only the width of the PSF is known ({card} = {width:.3g} {unit}); a Moffat profile with "
        f"beta {BETA:g} is assumed."
    )


def _width(cards: Cards) -> tuple[str, float, bool] | None:
    """Return card, width and whether it is in pixels."""
    for card in (*ARCSEC_CARDS, *SAID_CARDS):
        found = cards.number(card)
        if found is None or not 0 < found[1] < WIDEST * (10 if card in SAID_CARDS else 1):
            continue
        header = cards.own if card in cards.own else cards.primary
        comment = str(header.comments[card]).lower()
        in_pixels, in_arcsec = "pix" in comment, "arcsec" in comment or '"' in comment
        if card in SAID_CARDS and in_pixels == in_arcsec:
            continue
        return card, found[1], in_pixels and not in_arcsec
    return None


def _moffat(width: str) -> str:
    return f"moffat:{width},{BETA:g}"

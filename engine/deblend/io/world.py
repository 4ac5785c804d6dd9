"""Where an image lies on the sky, by its header; and what of the header cannot be trusted or kept."""

from __future__ import annotations

import re
import warnings

from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from deblend.io.fits_file import FitsImage
from deblend.sky import TangentWcs

PROJECTION_TOLERANCE = 0.1
"""A projection that an affine map misses by more than this is warned of [pix]."""
NEGLIGIBLE = 1e-4
"""An affine map that is nowhere off by more is the projection [pix]."""
_SIP = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)")
_TABLES = re.compile(r"(CPDIS|CPERR|CQDIS|CQERR|D2IMDIS|D2IMERR)\d|DP\d.*|DQ\d.*|D2IM(ARR|EXT)?\d*.*")
DRIZZLE_CARDS = ("NDRIZIM", "D001DATA", "D001OUDA", "D001SCAL", "DRIZCORR")
VISIT_CARDS = ("VISIT", "EXPID", "EXP-ID", "EXPNUM", "DET-ID", "DETECTOR", "CCD", "CCDNAME", "DETNAME", "BORE-RA")
"""Cards that an image of one exposure has, and a stack of many has not."""


def wcs_of(image: FitsImage) -> tuple[TangentWcs | None, list[str]]:
    """Return the WCS of an image, and remarks on it; raises ValueError, naming the file, where it is unusable."""
    shape = (image.data.shape[-2], image.data.shape[-1])
    axis = str(image.cards.own.get("CTYPE1", ""))
    if axis.startswith(("GLON", "GLAT", "ELON", "ELAT")):
        return None, [f"its WCS is not in right ascension and declination ({axis}) and is left aside."]
    try:
        header, remarks = mended(image.cards.own)
        wcs = TangentWcs.from_header(header, shape)
    except ValueError as error:
        # the library that reads it says what is wrong in its last line
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise ValueError(
            f"{image.where}: its WCS cannot be used ({reason}); mend or remove its cards CTYPE, CRVAL, CRPIX and CD "
            "or PC and CDELT."
        ) from error
    if wcs is None:
        return None, ["has no WCS; positions are known in pixels only."]
    projection = str(header.get("CTYPE1", "")).strip()[5:].strip("-") or "TAN"
    remarks += residual_remarks(wcs, projection)
    frame = str(image.cards.get("RADESYS", "RADECSYS") or "ICRS").upper()
    if frame != "ICRS":
        remarks.append(f"its frame {frame} is taken as ICRS.")
    return wcs, remarks


def residual_remarks(wcs: TangentWcs, projection: str) -> list[str]:
    """Return a remark on how well an affine map stands for a projection; none where it is the same."""
    if wcs.residual <= NEGLIGIBLE:
        return []
    if wcs.residual <= PROJECTION_TOLERANCE:
        return [f"its projection {projection} is replaced by an affine map that is off by up to {wcs.residual:.2g} px."]
    return [
        f"WARNING: its projection {projection} is replaced by an affine map that is off by up to {wcs.residual:.2f} "
        "px; cut a smaller image out."
    ]


def mended(header: fits.Header) -> tuple[fits.Header, list[str]]:
    """Return a header whose distortion is the one that its image has, and remarks.

    SIP polynomials count also where CTYPE does not name them (Shupe et al. 2005 has the suffix), but not in a drizzled
    image, which has no distortion any more and kept the cards of an exposure. Distortions in tables are left aside:
    they lie in other HDUs.
    """
    header, remarks = header.copy(), []
    tables = [card for card in header if _TABLES.fullmatch(card)]
    for card in tables:
        del header[card]
    if tables:
        remarks.append(
            "its distortion in tables (CPDIS, D2IM) is left aside, which moves sources by fractions of a pixel."
        )
    _as_cd(header)
    sip = [card for card in header if _SIP.fullmatch(card)]
    types = [str(header.get(f"CTYPE{axis}", "")).strip() for axis in (1, 2)]
    if not sip or not all(kind[4:8] == "-TAN" or kind[5:8] == "TAN" for kind in types):
        return header, remarks
    is_named = any(kind.endswith("-SIP") for kind in types)
    if not is_named and any(card in header for card in DRIZZLE_CARDS):
        for card in sip:
            del header[card]
        remarks.append("its SIP distortion is left over from an exposure, as it was drizzled, and is left aside.")
    elif not is_named:
        for axis, kind in enumerate(types, 1):
            header[f"CTYPE{axis}"] = f"{kind}-SIP"
        remarks.append("has SIP distortion that its CTYPE does not name; it is taken to be there.")
    return header, remarks


def _as_cd(header: fits.Header) -> None:
    """Write a matrix of PC and CDELT as CD where polynomials in PV cards follow it.

    Those are in degrees; wcslib applies them before CDELT and puts sources hundreds of pixels off.
    """
    if not any(re.fullmatch(r"PV[12]_\d+", card) for card in header) or "CDELT1" not in header or "CD1_1" in header:
        return
    if not all(str(header.get(f"CTYPE{axis}", "")).strip().endswith(("TPV", "TAN")) for axis in (1, 2)):
        return
    with warnings.catch_warnings():
        # it mends dates, which are of no concern here
        warnings.simplefilter("ignore", FITSFixedWarning)
        matrix = WCS(header, naxis=2).pixel_scale_matrix
    for card in [c for c in header if re.fullmatch(r"PC[12]_[12]|CDELT[12]|CROTA[12]", c)]:
        del header[card]
    for i in range(2):
        for j in range(2):
            header[f"CD{i + 1}_{j + 1}"] = float(matrix[i, j])


def visit_remarks(image: FitsImage) -> list[str]:
    """Return a warning where an image of LSST or HSC is of one exposure, whose FITS WCS is an approximation."""
    is_distorted = "SIP" in str(image.cards.own.get("CTYPE1", "")) or "A_ORDER" in image.cards.own
    card = next((card for card in VISIT_CARDS if image.cards.get(card) is not None), None)
    if card is None and not is_distorted:
        return []
    reason = f"it has {card}" if card else "its WCS has SIP"
    return [
        f"WARNING: looks like a single visit ({reason}); the WCS of its FITS header is an approximation, the right one "
        "is in tables of the stack: better fit a coadd, or a cut-out with a WCS fitted to it."
    ]

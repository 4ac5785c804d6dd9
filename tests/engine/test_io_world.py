"""Where files put their images on the sky: every projection that surveys use, and headers that cannot be believed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from deblend.io import read_observations
from deblend.observe import Observation

SHAPE = (90, 70)
STEP = 0.2 / 3600
PSF = "gaussian:3px"


def header(kind: str = "TAN", turn: float = 0.0, form: str = "CD", **cards: Any) -> fits.Header:
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = STEP * np.array([[-cosine, sine], [sine, cosine]])
    made = fits.Header({"CRVAL1": 150.1, "CRVAL2": 2.2, "CRPIX1": 30.5, "CRPIX2": 40.5, "BUNIT": "nJy"})
    made["CTYPE1"], made["CTYPE2"] = f"RA---{kind}", f"DEC--{kind}"
    if form == "PC":
        made["CDELT1"], made["CDELT2"] = -STEP, STEP
        matrix = matrix / np.array([[-STEP], [STEP]])
    for i in range(2):
        for j in range(2):
            made[f"{form}{i + 1}_{j + 1}"] = matrix[i, j]
    made.update(cards)
    return made


SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-6, "A_1_1": 1e-6, "B_0_2": -3e-6}
STRONG_SIP = {**SIP, "A_2_0": 5e-4}
TPV = {"PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 0.5, "PV2_0": 0.0, "PV2_1": 1.0, "PV2_4": -0.4}
ZPN = {"PV2_1": 1.0, "PV2_3": 42.0}


def observed(folder: Path, cards: fits.Header, rng: np.random.Generator, **more: Any) -> Observation:
    fits.PrimaryHDU(rng.normal(size=SHAPE), cards).writeto(folder / "a.fits")
    (seen,) = read_observations(folder / "a.fits", psf=PSF)
    return seen


def said(seen: Observation) -> str:
    return "\n".join(seen.notes)


def truth(cards: fits.Header) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (x, y) over the image and what astropy says of their right ascension and declination."""
    y, x = (axis.ravel() for axis in np.mgrid[0 : SHAPE[0] - 1 : 9j, 0 : SHAPE[1] - 1 : 9j])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ra, dec = WCS(cards).all_pix2world(x, y, 0)
    return x, y, ra, dec


@pytest.mark.parametrize("turn", [0.0, 33.0])
@pytest.mark.parametrize("form", ["CD", "PC"])
@pytest.mark.parametrize(
    ("kind", "cards"),
    [("TAN", {}), ("TAN-SIP", SIP), ("TPV", TPV), ("ZPN", ZPN), ("TAN-SIP", STRONG_SIP)],
    ids=["TAN", "TAN-SIP", "TPV", "ZPN", "strong SIP"],
)
def test_an_affine_map_stands_for_every_projection(
    kind: str, cards: dict[str, Any], form: str, turn: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    given = header(kind, turn, form, **cards)
    seen = observed(tmp_path, given, rng)
    # the same map in the form that astropy reads rightly whatever follows it
    x, y, ra, dec = truth(header(kind, turn, "CD", **cards))
    assert seen.wcs is not None
    found = np.stack(seen.wcs.sky_to_pixel(ra, dec))
    distance = float(np.hypot(*(found - np.stack([x, y]))).max())
    assert distance == pytest.approx(seen.wcs.residual, abs=1e-6), "the residual is told in pixels as it is"
    note = next((n for n in seen.notes if "replaced by an affine map" in n), None)
    if kind == "TAN":
        assert distance < 1e-6 and note is None
    elif cards is STRONG_SIP:
        assert distance > 0.1 and note is not None and note.startswith("a.fits: WARNING:")
        assert f"off by up to {distance:.2f} px" in note
    else:
        assert distance < 0.1 and (note is not None) == (distance > 1e-4) and "WARNING" not in said(seen)
        if note is not None:
            told = re.search(r"off by up to ([0-9.e-]+) px", note)
            assert told and float(told[1]) == pytest.approx(distance, rel=0.1)


def test_sip_counts_also_where_the_type_does_not_name_it(tmp_path: Path, rng: np.random.Generator) -> None:
    seen = observed(tmp_path, header(**STRONG_SIP), rng)
    x, y, ra, dec = truth(header("TAN-SIP", **STRONG_SIP))
    assert seen.wcs is not None
    assert np.hypot(*(np.stack(seen.wcs.sky_to_pixel(ra, dec)) - np.stack([x, y]))).max() < 1.01 * seen.wcs.residual
    assert "has SIP distortion that its CTYPE does not name" in said(seen)


def test_sip_left_over_in_a_drizzled_image_is_left_aside(tmp_path: Path, rng: np.random.Generator) -> None:
    seen = observed(tmp_path, header(**STRONG_SIP, NDRIZIM=4), rng)
    x, y, ra, dec = truth(header())
    assert seen.wcs is not None and seen.wcs.residual == 0.0
    np.testing.assert_allclose(np.stack(seen.wcs.sky_to_pixel(ra, dec)), np.stack([x, y]), atol=1e-6)
    assert "left over from an exposure" in said(seen)


def test_tan_with_pv_cards_is_a_tpv(tmp_path: Path, rng: np.random.Generator) -> None:
    """As SCAMP wrote it before TPV had a name."""
    seen = observed(tmp_path, header(**{**TPV, "PV1_4": 50.0}), rng)
    x, y, ra, dec = truth(header(**{**TPV, "PV1_4": 50.0}))
    assert seen.wcs is not None
    distance = np.hypot(*(np.stack(seen.wcs.sky_to_pixel(ra, dec)) - np.stack([x, y]))).max()
    assert distance == pytest.approx(seen.wcs.residual, abs=1e-6)


def test_distortion_in_tables_is_said(tmp_path: Path, rng: np.random.Generator) -> None:
    cards = header(CPDIS1="LOOKUP", CPDIS2="LOOKUP")
    cards["DP1"] = "EXTVER: 1.0"
    seen = observed(tmp_path, cards, rng)
    assert seen.wcs is not None and "distortion in tables (CPDIS, D2IM) is left aside" in said(seen)


def test_a_hubble_header_of_a_cut_of_sip_keeps_its_place(tmp_path: Path, rng: np.random.Generator) -> None:
    """The affine map is that of the image, not of the tangent point, which may lie far outside."""
    given = header("TAN-SIP", **{**SIP, "CRPIX1": -1900.0, "CRPIX2": 2400.0})
    seen = observed(tmp_path, given, rng)
    x, y, ra, dec = truth(given)
    assert seen.wcs is not None and seen.wcs.residual < 0.05
    found = np.stack(seen.wcs.sky_to_pixel(ra, dec))
    assert np.hypot(*(found - np.stack([x, y]))).max() < 1.01 * seen.wcs.residual + 1e-6

"""World coordinates against astropy.wcs, in every form a header may have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.wcs import WCS

from deblend.observe import Observation
from deblend.sky import PixelGrid, TangentWcs, plane_to_sky, sky_to_plane

SHAPE = (58, 48)
STEP = 0.168 / 3600


def header(**cards: Any) -> Header:
    base = {"NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0], "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    place = {"CRVAL1": 150.1, "CRVAL2": 2.2, "CRPIX1": 24.5, "CRPIX2": 29.5, "CUNIT1": "deg", "CUNIT2": "deg"}
    return Header({**base, **place, **cards})


def turned(degrees: float, step: float = STEP, flip: float = -1.0) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return step * np.array([[flip * cosine, sine], [flip * -sine, cosine]])


def cd(matrix: np.ndarray) -> dict[str, float]:
    return {f"CD{i + 1}_{j + 1}": float(matrix[i, j]) for i in range(2) for j in range(2)}


def pc(matrix: np.ndarray, cdelt: tuple[float, float]) -> dict[str, float]:
    cards = {f"PC{i + 1}_{j + 1}": float(matrix[i, j] / cdelt[i]) for i in range(2) for j in range(2)}
    return {**cards, "CDELT1": cdelt[0], "CDELT2": cdelt[1]}


FORMS = {
    "CD": header(**cd(turned(0))),
    "CD, rotated": header(**cd(turned(37))),
    "CD, mirrored": header(**cd(turned(0, flip=1.0))),
    "CD, rotated and mirrored": header(**cd(turned(-128, flip=1.0))),
    "CD, oblong pixels": header(**cd(turned(20) * [[1.0, 1.0], [1.3, 1.3]])),
    "PC and CDELT": header(**pc(turned(0), (-STEP, STEP))),
    "PC and CDELT, rotated": header(**pc(turned(55), (-STEP, STEP))),
    "PC holds the scale": header(**pc(turned(10), (1.0, 1.0))),
    "CDELT alone": header(CDELT1=-STEP, CDELT2=STEP),
    "CDELT and CROTA2": header(CDELT1=-STEP, CDELT2=STEP, CROTA2=31.0),
    "near the pole": header(**{**cd(turned(77)), "CRVAL2": 89.99}),
    "across 0h": header(**{**cd(turned(5)), "CRVAL1": 0.0}),
    "far from the tangent point": header(**{**cd(turned(12)), "CRPIX1": 17910.0, "CRPIX2": -34760.0}),
}


@pytest.fixture(params=FORMS, ids=list(FORMS))
def form(request: pytest.FixtureRequest) -> Header:
    return FORMS[request.param].copy()


def corners() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0 : SHAPE[0] : 7j, 0 : SHAPE[1] : 7j]
    return x.ravel(), y.ravel()


def test_pixels_lie_where_astropy_puts_them(form: Header) -> None:
    wcs = TangentWcs.from_header(form, SHAPE)
    assert wcs is not None and wcs.residual == 0.0
    x, y = corners()
    ra, dec = wcs.pixel_to_sky(x, y)
    astropy_x, astropy_y = WCS(form).all_world2pix(ra, dec, 0)
    np.testing.assert_allclose(astropy_x, x, atol=1e-6)
    np.testing.assert_allclose(astropy_y, y, atol=1e-6)
    back_x, back_y = wcs.sky_to_pixel(*WCS(form).all_pix2world(x, y, 0))
    np.testing.assert_allclose(back_x, x, atol=1e-6)
    np.testing.assert_allclose(back_y, y, atol=1e-6)


def test_round_trip_through_a_header(form: Header) -> None:
    wcs = TangentWcs.from_header(form, SHAPE)
    assert wcs is not None
    written = wcs.to_header()
    again = TangentWcs.from_header(written, SHAPE)
    assert again is not None and again.is_same_grid(wcs, tolerance=1e-6)
    x, y = corners()
    np.testing.assert_allclose(WCS(written).all_pix2world(x, y, 0), WCS(form).all_pix2world(x, y, 0), atol=1e-9)


def test_a_cutout_keeps_its_place(form: Header) -> None:
    wcs = TangentWcs.from_header(form, SHAPE)
    assert wcs is not None
    x, y = corners()
    np.testing.assert_allclose(
        np.stack(wcs.shifted(5, 8).pixel_to_sky(x - 5, y - 8)), np.stack(wcs.pixel_to_sky(x, y)), atol=1e-10
    )


def test_it_is_made_of_whatever_says_where_pixels_are(form: Header) -> None:
    own = TangentWcs.from_header(form, SHAPE)
    assert TangentWcs.of(WCS(form), SHAPE) == TangentWcs.of(form, SHAPE) == TangentWcs.of(own, SHAPE) == own
    assert TangentWcs.of(None, SHAPE) is None and TangentWcs.of(WCS(naxis=2), SHAPE) is None
    images = np.ones((1, *SHAPE))
    seen = Observation.from_arrays(images, np.ones((1, 1, 1)), np.ones_like(images), wcs=WCS(form))
    assert seen.wcs == own


def test_axes_that_are_not_equatorial_are_refused() -> None:
    cards = header(**cd(turned(0)))
    cards["CTYPE1"], cards["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    with pytest.raises(ValueError, match="GLON-TAN and GLAT-TAN; RA and DEC are needed"):
        TangentWcs.of(WCS(cards), SHAPE)
    with pytest.raises(TypeError, match="not a str"):
        TangentWcs.of("a.fits", SHAPE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"NAXIS": 2, "NAXIS1": 48, "NAXIS2": 58, "CRVAL1": 3.0, "CRPIX1": 1.0},
        {"CTYPE1": "WAVE", "CTYPE2": "LINEAR", "CDELT1": 2.0, "CDELT2": 1.0},
    ],
    ids=["bare", "no type", "a spectrum"],
)
def test_no_celestial_axes_is_none(cards: dict[str, Any]) -> None:
    assert TangentWcs.from_header(Header(cards), SHAPE) is None


def test_a_cube_is_placed_by_its_first_two_axes() -> None:
    cube = FORMS["CD, rotated"].copy()
    cube["NAXIS"], cube["NAXIS3"] = 3, 5
    cube["WCSAXES"], cube["CTYPE3"], cube["CRVAL3"], cube["CD3_3"] = 3, "WAVE", 5e-7, 1e-8
    wcs = TangentWcs.from_header(cube, SHAPE)
    assert wcs is not None and wcs.is_same_grid(TangentWcs.from_header(FORMS["CD, rotated"], SHAPE), 1e-6)


def test_a_singular_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="WCS"):
        TangentWcs.from_header(header(CD1_1=STEP, CD1_2=STEP, CD2_1=STEP, CD2_2=STEP), SHAPE)


def test_another_projection_is_replaced_by_the_best_affine() -> None:
    small = header(**{**cd(turned(15)), "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"})
    wcs = TangentWcs.from_header(small, SHAPE)
    assert wcs is not None and wcs.residual < 1e-3
    x, y = corners()
    astropy_x, astropy_y = WCS(small).all_world2pix(*wcs.pixel_to_sky(x, y), 0)
    assert np.hypot(astropy_x - x, astropy_y - y).max() < 1e-3


def test_distortion_is_measured_in_pixels() -> None:
    sip = header(**{**cd(turned(15)), "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"})
    sip.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-3, "B_0_2": 0.0})
    wcs = TangentWcs.from_header(sip, SHAPE)
    assert wcs is not None
    x, y = corners()
    astropy_x, astropy_y = WCS(sip).all_world2pix(*wcs.pixel_to_sky(x, y), 0)
    # what is left of 1e-3 dx² after the best straight line over ±24 px
    assert 0.1 < wcs.residual < 0.6
    assert np.hypot(astropy_x - x, astropy_y - y).max() < 1.1 * wcs.residual


def test_scale_and_grids() -> None:
    wcs = TangentWcs.from_header(FORMS["CD, rotated"], SHAPE)
    other = TangentWcs.from_header(FORMS["CD"], SHAPE)
    assert wcs is not None and other is not None
    assert wcs.pixel_scale == pytest.approx(0.168)
    assert PixelGrid(SHAPE, wcs).is_same_as(PixelGrid(SHAPE, wcs.shifted(0.001, 0)))
    assert not PixelGrid(SHAPE, wcs).is_same_as(PixelGrid(SHAPE, wcs.shifted(0.1, 0)))
    assert not PixelGrid(SHAPE, wcs).is_same_as(PixelGrid(SHAPE, other))
    assert not PixelGrid(SHAPE, wcs).is_same_as(PixelGrid(SHAPE, None))
    assert not PixelGrid(SHAPE, None).is_same_as(PixelGrid((58, 49), None))
    assert PixelGrid(SHAPE, None).is_same_as(PixelGrid(SHAPE, None))


def test_the_affine_of_a_picture_agrees_with_the_sky(form: Header) -> None:
    wcs = TangentWcs.from_header(form, SHAPE)
    assert wcs is not None
    x, y = corners()
    middle = tuple(float(v) for v in wcs.pixel_to_sky((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2))
    affine = wcs.affine_in(middle, SHAPE)
    placed = affine @ np.stack([y, x, np.ones_like(x)])
    east, north = sky_to_plane(*wcs.pixel_to_sky(x, y), middle)
    # one tangent plane seen from another is an affine up to (distance from its tangent point)², about 2° at most here
    np.testing.assert_allclose(placed[:2], np.stack([north, east]), atol=0.01)


@pytest.mark.parametrize("center", [(150.0, 2.2), (0.0, 0.0), (359.9999, -60.0), (12.0, 90.0)])
def test_plane_and_sky_are_inverse(center: tuple[float, float], rng: np.random.Generator) -> None:
    east, north = rng.uniform(-3000, 3000, (2, 50))
    ra, dec = plane_to_sky(east, north, center)
    assert ((ra >= 0) & (ra < 360)).all()
    np.testing.assert_allclose(np.stack(sky_to_plane(ra, dec, center)), np.stack([east, north]), atol=1e-6)

"""Grids of pixels: how they lie on one another, and which one the sources of several images live on."""

from __future__ import annotations

import numpy as np
import pytest

from deblend.sky import PixelAffine, PixelGrid, TangentWcs, common_grid


def wcs(
    scale: float, angle: float = 0.0, reference: tuple[float, float] = (20.0, 20.0), ra: float = 150.0
) -> TangentWcs:
    turn = np.radians(angle)
    matrix = scale * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return TangentWcs((ra, 2.2), reference, tuple(map(tuple, matrix)))


FINE = PixelGrid((60, 80), wcs(0.1, reference=(39.5, 29.5)))
COARSE = PixelGrid((41, 41), wcs(0.25, 30.0))


def test_places_agree_with_those_on_the_sky() -> None:
    affine = COARSE.affine_to(FINE)
    y, x = np.array([0.0, 3.0, 40.0]), np.array([5.0, 40.0, 11.0])
    expected = FINE.wcs.sky_to_pixel(*COARSE.wcs.pixel_to_sky(x, y))
    np.testing.assert_allclose(affine(y, x), expected[::-1], atol=1e-4)
    np.testing.assert_allclose(affine.inverse(*affine(y, x)), (y, x), atol=1e-9)
    assert affine.scale == pytest.approx(2.5, rel=1e-6)
    assert affine.area == pytest.approx(6.25, rel=1e-6)


def test_a_shift_by_whole_pixels_is_told_from_others() -> None:
    assert PixelAffine(offset=(3.0, -2.0)).whole_offset(1e-3) == (3, -2)
    assert PixelAffine(offset=(3.1, -2.0)).whole_offset(1e-3) is None
    assert PixelAffine(((1.0, 1e-4), (0.0, 1.0))).whole_offset(1e-3) is None


def test_images_of_one_grid_keep_it() -> None:
    assert common_grid([FINE, FINE]) is FINE
    bare = PixelGrid((30, 30))
    assert common_grid([bare, PixelGrid((30, 30))]) == bare


@pytest.mark.parametrize("order", [1, -1])
def test_the_union_holds_every_pixel_of_all(order: int) -> None:
    grid = common_grid([FINE, COARSE][::order])
    assert grid.wcs.pixel_scale == pytest.approx(0.1)
    for image in (FINE, COARSE):
        height, width = image.shape
        y, x = image.affine_to(grid)(*np.meshgrid([-0.5, height - 0.5], [-0.5, width - 0.5], indexing="ij"))
        assert y.min() > -0.51 and x.min() > -0.51
        assert y.max() < grid.shape[0] - 0.49 and x.max() < grid.shape[1] - 0.49
    first = FINE.affine_to(grid).whole_offset(1e-6)
    assert first is not None and min(first) >= 0
    # the turned image reaches further than the other on all sides; there is not a pixel to spare on any
    reach = 41 * 2.5 * (np.cos(np.pi / 6) + 0.5)
    assert all(reach <= n < reach + 2 for n in grid.shape)


def test_the_intersection_holds_no_pixel_that_one_of_them_does_not_see() -> None:
    grid = common_grid([FINE, COARSE], cover="intersection")
    height, width = grid.shape
    y, x = grid.affine_to(FINE)(*np.meshgrid([-0.5, height - 0.5], [-0.5, width - 0.5], indexing="ij"))
    assert y.min() > -0.51 and y.max() < 59.51 and x.min() > -0.51 and x.max() < 79.51


def test_a_finer_grid_is_the_same_sky() -> None:
    finer = common_grid([FINE, COARSE], oversampling=2)
    plain = common_grid([FINE, COARSE])
    assert finer.shape == (2 * plain.shape[0], 2 * plain.shape[1])
    # the first pixel became four: its middle lies between them
    np.testing.assert_allclose(finer.wcs.pixel_to_sky(0.5, 0.5), plain.wcs.pixel_to_sky(0.0, 0.0), rtol=1e-12)


def test_images_that_share_no_sky_are_refused() -> None:
    far = PixelGrid((41, 41), wcs(0.25, ra=151.0))
    with pytest.raises(ValueError, match="share no sky"):
        common_grid([FINE, far])
    with pytest.raises(ValueError, match="by their WCS, and one of them has none"):
        common_grid([FINE, PixelGrid((30, 30))])

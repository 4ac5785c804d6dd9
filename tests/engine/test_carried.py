"""Sources on other pixels: as large and as bright on the sky as before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deblend import FreeForm, Parameter, PixelAffine, make_source
from deblend.detect.rescaled import resampled, rescaled
from deblend.scene import Galaxy


def blob(side: int, sigma: float) -> np.ndarray:
    index = np.arange(side) - side // 2
    light = np.exp(-0.5 * (index[:, None] ** 2 + index**2) / sigma**2)
    return light / light.sum()


@pytest.mark.parametrize("scale", [2.0, 3.0, 0.5])
def test_a_picture_on_finer_pixels_is_the_same_light(scale: float) -> None:
    """Against the Gaussian itself, drawn on those pixels."""
    radius = round(15 * scale)
    found = resampled(blob(31, 3.0), radius, scale)
    np.testing.assert_allclose(found, blob(2 * radius + 1, 3.0 * scale), atol=2e-3 * blob(31, 3.0 * scale).max())
    assert found.sum() == pytest.approx(1.0, abs=1e-3)


def test_sizes_priors_and_boxes_scale_and_all_else_stays() -> None:
    sersic = make_source("sersic", 20.0, 21.0, n_channels=2, flux=[3.0, 4.0], half_light_radius=2.5, radius=15)
    finer = rescaled(sersic, 2.0)
    (old,), (new,) = sersic.components, finer.components
    assert new.morphology.half_light_radius_guess == 2 * old.morphology.half_light_radius_guess
    assert new.radius == 30 and finer.center_scatter == 2 * sersic.center_scatter
    assert (finer.x, finer.y, finer.id) == (20.0, 21.0, sersic.id)
    np.testing.assert_array_equal(finer.flux, sersic.flux)
    galaxy = make_source("galaxy", 20.0, 21.0, n_channels=1, half_light_radius=3.0, radius=10).components[0]
    assert isinstance(galaxy.morphology, Galaxy)
    (bigger,) = rescaled(make_source("galaxy", 0, 0, n_channels=1, half_light_radius=3.0, radius=10), 3.0).components
    assert isinstance(bigger.morphology, Galaxy) and bigger.morphology.correction.value.shape == (61, 61)
    np.testing.assert_array_equal(bigger.morphology.amplitudes.value, galaxy.morphology.amplitudes.value)


def test_a_free_form_source_keeps_its_light() -> None:
    source = make_source("free-form", 0, 0, n_channels=1, radius=12)
    morphology = FreeForm(pixels=Parameter(blob(25, 2.0) * 7.0))
    seen = replace(source, components=(replace(source.components[0], morphology=morphology),))
    (finer,) = rescaled(seen, 3.0).components
    assert isinstance(finer.morphology, FreeForm)
    assert finer.morphology.pixels.value.sum() == pytest.approx(7.0)
    assert finer.morphology.half_light_radius_guess == pytest.approx(3 * morphology.half_light_radius_guess, rel=0.02)


def test_maps_one_after_the_other() -> None:
    first, second = (
        PixelAffine(((2.0, 0.5), (0.0, 1.0)), (1.0, 2.0)),
        PixelAffine(((0.0, 1.0), (-1.0, 0.0)), (3.0, 4.0)),
    )
    np.testing.assert_allclose(first.then(second)(5.0, 7.0), second(*first(5.0, 7.0)))

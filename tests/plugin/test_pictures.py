"""How pictures look: the numbers behind the colors, and the array of components that is never in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from deblend import Observation
from napari_deblend.components import ComponentStack
from napari_deblend.pictures import (
    ColorMix,
    asinh_colormap,
    filled,
    light_of,
    residual_colormap,
    residual_flux_colormap,
)
from napari_deblend.stretch import Preset, Stretch
from napari_deblend.views import color_mix


@pytest.mark.parametrize("q", [0.5, 3.0, 30.0, 200.0])
def test_the_stretch_is_asinh(q: float) -> None:
    flux = np.linspace(0.0, 1.0, 37)
    expected = np.arcsinh(q * flux) / np.arcsinh(q)
    np.testing.assert_allclose(asinh_colormap(q).map(flux)[:, 0], expected, atol=0.005)


def test_q_of_zero_is_linear() -> None:
    flux = np.linspace(0.0, 1.0, 37)
    np.testing.assert_allclose(asinh_colormap(0.0).map(flux)[:, 0], flux, atol=0.005)


def test_residuals_in_flux_have_the_stretch_of_the_data_to_both_sides() -> None:
    x = np.array([0.01, 0.1, 0.5, 1.0])
    even, stretched = residual_colormap(), residual_flux_colormap(20.0)
    brightness = np.arcsinh(20.0 * x) / np.arcsinh(20.0)
    for side in (-0.5, 0.5):
        expected = even.map(0.5 + side * brightness)
        np.testing.assert_allclose(stretched.map(0.5 + side * x), expected, atol=0.02)


def test_levels_frame_noise_and_peak(make_observation: Callable[..., Observation]) -> None:
    observation = make_observation(size=(120, 120))
    levels = light_of(observation.images, observation.weights).levels(Stretch())
    assert levels.black == pytest.approx(-2.0)
    assert 10.0 <= levels.white <= 1.05 * observation.images.max()
    assert levels.q == pytest.approx((levels.white - levels.black) / 3.0)


def test_presets_are_those_of_astropy(make_observation: Callable[..., Observation]) -> None:
    from astropy.visualization import AsymmetricPercentileInterval, ZScaleInterval

    observation = make_observation(size=(120, 120))
    weights = observation.weights.copy()
    weights[0, :5] = 0.0
    light = light_of(observation.images, weights)
    good = observation.images[weights > 0]
    for preset, interval in (
        (Preset.ZSCALE, ZScaleInterval()),
        (Preset.PERCENTILE, AsymmetricPercentileInterval(1.0, 99.5)),
    ):
        levels = light.levels(Stretch(preset))
        assert (levels.black, levels.white) == pytest.approx(interval.get_limits(good))
        assert levels.q == 0.0
        assert light.levels(Stretch(preset, q=8.0)).q == 8.0
    assert light.levels(Stretch(white=50.0)).white == pytest.approx(50.0 * light.noise)


def test_colors_become_brighter_with_a_lower_white_level_and_keep_their_hue(
    make_observation: Callable[..., Observation],
) -> None:
    mix = color_mix(make_observation(bands="griz"))
    light = np.array([3.0, 5.0, 7.0, 8.0])[:, None, None] * np.ones((4, 2, 2))
    dark, bright = (mix.stretched(Stretch(white=w, q=5.0))(light)[0, 0].astype(float) for w in (300.0, 60.0))
    assert bright.sum() > 1.5 * dark.sum()
    np.testing.assert_allclose(dark / dark.sum(), bright / bright.sum(), atol=0.02)


def test_nonsense_for_a_stretch_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="The stretch must be between 2 and 20000, got -1"):
        Stretch(white=-1.0)
    with pytest.raises(ValueError, match="The Q must be"):
        Stretch(q=-2.0)


def test_residuals_are_dark_at_zero_and_differ_to_both_sides() -> None:
    below, zero, above = residual_colormap().map(np.array([0.0, 0.5, 1.0]))[:, :3]
    assert zero.max() < 0.15
    assert below[2] > below[0] and above[0] > above[2]


def test_the_mean_color_of_the_light_is_white_and_brightness_keeps_the_hue(
    make_observation: Callable[..., Observation],
) -> None:
    observation = make_observation(bands="griz")
    mix = color_mix(observation)
    typical = observation.images[:, 30, 34] / observation.images[:, 30, 34].mean()
    faint, bright = (mix((f * typical)[:, None, None] * np.ones((4, 2, 2)))[0, 0].astype(float) for f in (4, 12))
    assert np.ptp(faint) / faint.max() < 0.35
    np.testing.assert_allclose(faint / faint.sum(), bright / bright.sum(), atol=0.03)
    assert bright.sum() > faint.sum()


def test_red_is_the_longest_wavelength_whatever_the_order_of_bands() -> None:
    noise = np.random.default_rng(1).normal(size=(3, 40, 40))
    noise[:, 20, 20] = 50.0
    mix = ColorMix.of(noise, np.ones_like(noise), ("HSC-Z", "HSC-G", "HSC-R"))
    only_z = np.zeros((3, 1, 1))
    only_z[0] = 100.0
    red, _, blue = mix(only_z)[0, 0].astype(int)
    assert red > 150 > 60 > blue


def test_masked_pixels_take_the_colors_around_them() -> None:
    images, weights = np.full((2, 9, 9), 3.0), np.ones((2, 9, 9))
    images[0, 4, 4], weights[0, 4, 4] = 0.0, 0.0
    np.testing.assert_allclose(filled(images, weights), 3.0)


def stack(asked: list[str] | None = None) -> ComponentStack:
    def render_all(ids: Sequence[str]) -> Mapping[str, np.ndarray]:
        if asked is not None:
            asked.extend(ids)
        return {i: np.full((2, 3, 4), float(k), np.float32) for k, i in enumerate(ids)}

    return ComponentStack(["a", "b", "c"], (2, 3, 4), render_all)


def test_a_component_is_shown_when_it_has_been_rendered() -> None:
    components = stack()
    assert components.shape == (3, 2, 3, 4) and components.ndim == 4 and components.dtype == np.float32
    assert not components[1, 0].any()
    components.put("b", np.ones((2, 3, 4)))
    np.testing.assert_array_equal(components[1, 0], 1.0)
    np.testing.assert_array_equal(components[1, :, 1:2, 0], np.ones((2, 1)))
    np.testing.assert_array_equal(components[0:2, 1, 0, 0], [0.0, 1.0])
    components.forget()
    assert not components[1].any()


def test_slicing_computes_nothing_and_asking_for_all_computes_all() -> None:
    asked: list[str] = []
    components = stack(asked)
    for row in range(3):
        components[row, 0, :, :]
    assert asked == []
    np.testing.assert_array_equal(np.asarray(components)[:, 0, 0, 0], [0.0, 1.0, 2.0])
    assert asked == ["a", "b", "c"]


def test_a_scene_without_sources_has_one_empty_component() -> None:
    empty = ComponentStack([], (2, 3, 4), lambda ids: {})
    assert empty.shape == (1, 2, 3, 4)
    assert np.asarray(empty).shape == (1, 2, 3, 4)
    assert empty.source_id(0) is None


def test_a_component_of_one_band_is_seen_at_every_step() -> None:
    components = stack()
    components.put("a", np.full((1, 3, 4), 5.0))
    np.testing.assert_array_equal(components[0, 1], 5.0)

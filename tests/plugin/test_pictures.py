"""How pictures look: the numbers behind the colors, and the array of components that is never in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from deblend import Observation
from napari_deblend.components import ComponentStack
from napari_deblend.pictures import ColorMix, asinh_colormap, filled, residual_colormap, stretch_limits
from napari_deblend.views import color_mix


@pytest.mark.parametrize("softening", [0.3, 0.03, 0.005])
def test_the_stretch_is_asinh(softening: float) -> None:
    colormap = asinh_colormap(softening)
    flux = np.linspace(0.0, 1.0, 37)
    expected = np.arcsinh(flux / softening) / np.arcsinh(1.0 / softening)
    np.testing.assert_allclose(colormap.map(flux)[:, 0], expected, atol=0.005)


def test_limits_frame_noise_and_peak(make_observation: Callable[..., Observation]) -> None:
    observation = make_observation(size=(120, 120))
    (low, high), softening = stretch_limits(observation.images, observation.weights)
    assert low == pytest.approx(-2.0)
    assert 10.0 <= high <= 1.05 * observation.images.max()
    assert softening * (high - low) == pytest.approx(3.0)


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

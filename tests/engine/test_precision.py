"""Numbers can be trusted: single precision against double, the same answer every time, light that is not lost."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
import pytest

from deblend import FitSettings, Observation, Scene, fit, measure

OF_AN_ERROR, RELATIVE = 0.01, 1e-5
"""What rounding may move a flux by: the larger of a hundredth of its error bar, and of itself."""


def errors_of(scene: Scene, observations: list[Observation], program: Any) -> np.ndarray:
    table = measure(scene, observations, program).table
    names = [name for name in table.colnames if name.startswith("flux_err_")]
    return np.stack([table[name].value for name in names], axis=1)


@pytest.fixture
def stars(systems: Any) -> Scene:
    """Overlapping stars, one of them half under another."""
    return systems.scene(
        ("point", 20.3, 21.6, (300.0, 420.0)), ("point", 23.1, 22.9, (250.0, 90.0)), ("point", 34.2, 30.1, (60.0, 40.0))
    )


def test_fluxes_are_those_of_double_precision_and_the_same_every_time(systems: Any, stars: Scene) -> None:
    """Given shapes, sources of every kind; and fits of stars, but where time is short."""
    seen = [systems.observe(stars)]
    start = systems.without_fluxes(stars.with_sources(s.moved(s.x + 0.3, s.y - 0.2) for s in stars.sources))
    mixed = systems.one_of_each()
    mixed_seen, unsolved = [systems.observe(mixed)], systems.without_fluxes(mixed)
    settings = FitSettings(tolerance=1e-6, max_iterations=40)

    def answers(dtype: str) -> tuple[Any, np.ndarray, Any]:
        fluxes = systems.program(mixed_seen, unsolved, dtype=np.dtype(dtype)).scene.fluxes
        if dtype == "float64" and os.environ.get("CI"):
            return None, fluxes, None
        program = systems.program(seen, start, dtype=np.dtype(dtype))
        return fit(start, seen, settings, program).run(), fluxes, program

    single, solved, program = answers("float32")
    again, solved_again, _ = answers("float32")
    errors = errors_of(single.scene, seen, program)
    mixed_errors = errors_of(mixed, mixed_seen, None)
    np.testing.assert_array_equal(single.scene.fluxes, again.scene.fluxes)
    np.testing.assert_array_equal(single.model(), again.model())
    np.testing.assert_array_equal(solved, solved_again)
    assert single.loss == again.loss and single.iteration == again.iteration
    jax.config.update("jax_enable_x64", True)
    try:
        double, solved_double, _ = answers("float64")
    finally:
        jax.config.update("jax_enable_x64", False)
    pairs = [(solved, solved_double, mixed_errors)]
    if double is not None:
        pairs.append((single.scene.fluxes, double.scene.fluxes, errors))
    for rough, exact, error in pairs:
        assert np.all(np.abs(rough - exact) <= np.maximum(OF_AN_ERROR * error, RELATIVE * np.abs(exact)))
        assert np.any(rough != exact), "one precision was compared with itself"


def test_light_is_not_lost_between_scene_image_and_catalog(systems: Any) -> None:
    """What a source has is what its image holds, in the unit that the files have and in the catalog's [nJy]."""
    scene = systems.scene(("point", 20.3, 21.6, (300.0, 420.0)), ("gaussian", 27.0, 26.0, (500.0, 350.0)))
    seen = [systems.observe(scene, seed=None, unit="count", njy_per_unit=57.5)]
    program = systems.program(seen, scene)
    light = [program.component(k).sum(axis=(1, 2)) for k in range(2)]
    np.testing.assert_allclose(light, scene.fluxes, rtol=2e-3)
    np.testing.assert_allclose(program.model(), program.component(0) + program.component(1), atol=1e-4)
    in_counts = seen[0].to_input_unit(program.model())
    np.testing.assert_allclose(in_counts * 57.5, program.model(), rtol=1e-6)
    table = measure(scene, seen, program, errors=False).table
    for band, fluxes in zip(systems.bands, scene.fluxes.T, strict=True):
        (name,) = (c for c in table.colnames if c.startswith("flux_") and c.endswith(band))
        np.testing.assert_allclose(table[name].to_value("nJy"), fluxes, rtol=1e-6)

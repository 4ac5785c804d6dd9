"""Free-form sources that start as the image shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import FreeForm, Observation, Parameter, Program, Scene, fit, make_source
from deblend.detect import as_seen

CENTER = (20.0, 24.0)
NEIGHBOR = (29.0, 24.0)


def comet() -> np.ndarray:
    """Return an object with a head and a tail to one side, which no round start resembles."""
    y, x = np.mgrid[-12:13, -12:13].astype(float)
    head = np.exp(-0.5 * (y**2 + x**2) / 1.3**2)
    tail = np.where(y >= 0, 0.5 * np.exp(-y / 4.0) * np.exp(-0.5 * x**2 / 1.5**2), 0.0)
    return (head + tail) / (head + tail).sum()


@pytest.fixture(scope="module")
def truth(systems: Any) -> Scene:
    scene: Scene = systems.scene(("free-form", *CENTER, (2500.0, 2100.0)), ("point", *NEIGHBOR, (900.0, 1200.0)))
    source = scene.sources[0]
    component = source.components[0]
    morphology = FreeForm(pixels=Parameter(comet()))
    return scene.replace(replace(source, components=(replace(component, morphology=morphology),)))


@pytest.fixture(scope="module")
def observation(systems: Any, truth: Scene) -> Observation:
    model = np.asarray(Program([systems.blank()], truth).model(), np.float64)
    seen: Observation = systems.seen(model, seed=6)
    return seen


@pytest.fixture(scope="module")
def round_start(systems: Any) -> Scene:
    scene: Scene = systems.scene(("free-form", *CENTER, None, {"half_light_radius": 2.5}), ("point", *NEIGHBOR, None))
    return scene


def test_it_looks_like_the_source_and_leaves_the_neighbor_out(
    truth: Scene, observation: Observation, round_start: Scene
) -> None:
    source = as_seen(round_start, round_start.sources[0].id, [observation])
    pixels, true = source.components[0].morphology.pixels.value, comet()  # type: ignore[attr-defined]
    assert pixels.sum() == pytest.approx(1.0) and pixels.min() >= 0.0
    before = round_start.sources[0].components[0].morphology.pixels.value  # type: ignore[attr-defined]
    unlike = [float(np.abs(picture - true).sum()) for picture in (before, pixels)]
    assert unlike[1] < 0.6 * unlike[0]
    # nine pixels to the right there is a star: of the light in its core next to nothing is taken
    assert pixels[10:15, 19:24].sum() < 0.02


def test_a_fit_begins_nearer(systems: Any, observation: Observation, round_start: Scene) -> None:
    seen = round_start.replace(as_seen(round_start, round_start.sources[0].id, [observation]))
    chi2 = [Program([observation], scene).chi2 for scene in (round_start, seen)]
    assert chi2[1] < 0.6 * chi2[0]
    assert fit(seen, [observation]).run().chi2 < 1.1


def test_where_nothing_is_it_says_so(systems: Any, observation: Observation, round_start: Scene) -> None:
    dark = systems.seen(np.zeros((2, 48, 48)) - 5.0, None)
    with pytest.raises(ValueError, match="no light"):
        as_seen(round_start, round_start.sources[0].id, [dark])
    with pytest.raises(KeyError):
        as_seen(round_start, "nobody", [observation])
    several = make_source("gaussian", 20.0, 24.0, n_channels=2)
    several = replace(several, components=several.components * 2)
    scene = systems.empty().add(several)
    with pytest.raises(ValueError, match="several components"):
        as_seen(scene, scene.sources[0].id, [observation])

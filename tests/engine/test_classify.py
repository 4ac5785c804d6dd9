"""Stars and galaxies by chi²."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deblend import classified, classify
from deblend.infer.classify import THRESHOLD

STARS = [("point", 12.3 + 12 * k, 12.6, (60.0 * 4**k, 80.0 * 4**k)) for k in range(3)]
GALAXIES = [("gaussian", 12.3 + 12 * k, 34.6, (60.0 * 4**k, 80.0 * 4**k), {"half_light_radius": 1.8}) for k in range(3)]


def test_stars_are_stars_and_galaxies_are_galaxies(systems: Any) -> None:
    """Signal to noise of 15, 60 and 240; twins of what they are in the scene's own words tell nothing."""
    truth = systems.scene(*STARS, *GALAXIES)
    observation = systems.observe(truth, seed=3)
    swapped = truth.with_sources(s.retyped("gaussian" if s.kind == "point" else "point") for s in truth.sources)
    for scene in (truth, swapped):
        solved = systems.program([observation], systems.without_fluxes(scene)).scene
        found = classify(solved, [observation])
        assert [each.kind for each in found[:3]] == ["point"] * 3
        assert [each.kind for each in found[4:]] == ["galaxy"] * 2
        assert all(each.threshold >= THRESHOLD for each in found)
        np.testing.assert_allclose([each.snr for each in found[1:3]], _snr(systems, truth)[1:3], rtol=0.1)
    settled = classified(truth, found)
    assert [s.kind for s in settled.sources][:3] == ["point"] * 3
    assert settled.sources[5] is truth.sources[5], "what is extended already keeps its profile"


def _snr(systems: Any, scene: Any) -> np.ndarray:
    pictures = [systems.model(scene.with_sources([s])) / systems.noise[:, None, None] for s in scene.sources]
    return np.array([np.sqrt(np.sum(picture**2)) for picture in pictures])


def test_the_gain_of_a_star_is_that_of_noise(systems: Any) -> None:
    """Three numbers more gain about 3 in chi² on noise, less for the size that cannot be negative: median below 4."""
    truth = systems.scene(STARS[1])
    gains = []
    for seed in range(12):
        (found,) = classify(truth, [systems.observe(truth, seed=seed)])
        gains.append(found.gain)
    assert min(gains) > -0.5, "a point is about the limit of what is extended"
    assert np.median(gains) < 4.0
    assert max(gains) < THRESHOLD


def test_a_locked_source_stays_what_it_is(systems: Any) -> None:
    from deblend import Status

    truth = systems.scene(GALAXIES[2])
    observation = systems.observe(truth)
    held = truth.with_sources(s.retyped("point").with_status(Status.LOCKED) for s in truth.sources)
    found = classify(held, [observation])
    assert found[0].kind == "galaxy"
    assert classified(held, found).sources[0].kind == "point"


def test_unsolved_and_empty_scenes(systems: Any) -> None:
    truth = systems.scene(STARS[0])
    observation = systems.observe(truth)
    assert classify(truth.with_sources(()), [observation]) == ()
    with pytest.raises(ValueError, match="without fluxes cannot be classified"):
        classify(systems.without_fluxes(truth), [observation])

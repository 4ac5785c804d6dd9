"""Single galaxies cut out of a fitted field: those that are whole, bright and alone, less the light of all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deblend import Observation, Program
from deblend.measure import galaxy_stamps

SIDE = 16


@pytest.fixture(scope="module")
def program(systems: Any) -> Program:
    """One galaxy beside a star, two that are one blend, a faint one, one at the edge, and one that is too large."""
    scene = systems.scene(
        ("galaxy", 13.3, 12.2, (900.0, 1300.0), {"half_light_radius": 1.8}),
        ("point", 20.1, 12.4, (300.0, 420.0)),
        ("galaxy", 34.0, 33.0, (900.0, 900.0), {"half_light_radius": 2.0}),
        ("galaxy", 36.5, 34.0, (900.0, 900.0), {"half_light_radius": 2.0}),
        ("galaxy", 12.0, 34.0, (8.0, 8.0), {"half_light_radius": 1.5}),
        ("galaxy", 44.0, 12.0, (900.0, 900.0), {"half_light_radius": 1.5}),
        ("galaxy", 30.0, 12.0, (900.0, 900.0), {"half_light_radius": 7.0}),
    )
    return systems.program([systems.observe(scene, seed=5)], scene)


def test_a_galaxy_is_cut_out_without_its_neighbors_in_units_of_the_noise(program: Program, systems: Any) -> None:
    found = galaxy_stamps(program, 0, 1, SIDE)
    first = program.scene.sources[0]
    assert found.ids == (first.id,)
    assert found.left_out == {"blended": 2, "too faint": 1, "too near to the edge": 1, "too large": 1}
    y, x = (round(place) - SIDE // 2 for place in (first.y, first.x))
    alone = program.component(0, 0)[1, y : y + SIDE, x : x + SIDE]
    off = found.images[0] - alone / systems.noise[1]
    # what is left is the noise of the image: 256 normal numbers
    assert abs(off.mean()) < 4.0 / SIDE and off.std() == pytest.approx(1.0, abs=4.0 / np.sqrt(2 * SIDE**2))


def test_masked_galaxies_and_other_pixels_are_refused(program: Program, systems: Any) -> None:
    seen, scene = program.observations[0], program.scene
    hidden = np.zeros(seen.shape, bool)
    hidden[12, 13] = True
    masked = galaxy_stamps(systems.program([seen.without(hidden)], scene), 0, 1, SIDE)
    assert not masked.ids and masked.images.shape == (0, SIDE, SIDE) and masked.left_out["with masked pixels"] == 1
    small = Observation.from_arrays(seen.images[:, 1:], systems.psfs, seen.weights[:, 1:], channels=list(systems.bands))
    other = type("Other", (), {"observations": (small,), "scene": scene})()
    with pytest.raises(ValueError, match="other pixels than the scene"):
        galaxy_stamps(other, 0, 1, SIDE)

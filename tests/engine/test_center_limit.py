"""A center that has to stay in a circle: a bound, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import FitSettings, fit


@pytest.mark.parametrize("kind", ["point", "gaussian"])
def test_a_center_stays_in_its_circle_and_goes_where_it_is_let(
    systems: Any, kind: str, compiles_nothing: Callable[..., None]
) -> None:
    truth = systems.scene((kind, 25.6, 22.9, (900.0, 700.0)))
    observation = systems.observe(truth)
    placed = truth.sources[0].moved(24.0, 22.0)
    scene = truth.replace(replace(placed, center_limit=0.8))
    run = fit(scene, [observation], FitSettings(max_iterations=40))
    found = run.run().scene.sources[0]
    off = np.hypot(found.x - 24.0, found.y - 22.0)
    assert off <= 0.8 + 1e-4
    # at the corner of the square within the circle that is nearest to the truth
    np.testing.assert_allclose((found.x - 24.0, found.y - 22.0), 0.8 * np.sqrt(0.5), atol=0.02)
    compiles_nothing(lambda: run.edit(run.state.scene.replace(replace(found, center_limit=np.inf))))
    free = run.run().scene.sources[0]
    np.testing.assert_allclose((free.x, free.y), (25.6, 22.9), atol=0.1)


def test_a_circle_needs_room(systems: Any) -> None:
    with pytest.raises(ValueError, match="needs room"):
        replace(systems.one_of_each().sources[0], center_limit=0.0)

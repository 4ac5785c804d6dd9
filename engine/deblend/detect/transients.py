"""Stars that come and go: placed by a person, with a flux of their own at every epoch."""

from __future__ import annotations

from collections.abc import Sequence

from deblend.detect.start import on_scene
from deblend.observe import Observation
from deblend.scene import Scene, make_source

TRANSIENT_NAME = "transient"


def with_transients(scene: Scene, observations: Sequence[Observation], places: Sequence[tuple[float, float]]) -> Scene:
    """Return a scene with a variable star at each place (x, y), 0-based pixels of the first observation.

    Raises ValueError where a place is not on the scene.
    """
    for number, (x, y) in enumerate(places, 1):
        column, row, is_inside = on_scene(scene, observations[0].grid, x, y)
        if not is_inside:
            raise ValueError(
                f"The transient at x {x:g}, y {y:g} is not on the images; give 0-based pixels of the first image."
            )
        name = TRANSIENT_NAME if len(places) == 1 else f"{TRANSIENT_NAME} {number}"
        star = make_source("point", float(column), float(row), n_channels=len(scene.channels), name=name)
        scene = scene.add(star.varying())
    return scene

"""Links: parameters that are one number in several components."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Scene, Source, Status, fit, make_source

SHAPE = (0.4, -0.3)
"""Ellipticity of bulge and disk."""


def of(kind: str, x: float, y: float, flux: tuple[float, float], size: float = 1.0) -> Source:
    return make_source(kind, x, y, n_channels=2, flux=flux, half_light_radius=size, radius=15)


def reshaped(source: Source, index: int, **parameters: Any) -> Source:
    """Return a source with other parameters of one component's morphology."""
    components = list(source.components)
    old = components[index].morphology
    changed = {name: old.parameters[name].at(value) for name, value in parameters.items()}
    components[index] = replace(components[index], morphology=old.with_parameters(**changed))
    return replace(source, components=tuple(components))


@pytest.fixture(scope="module")
def linked(systems: Any) -> Scene:
    """Bulge and disk of one ellipticity, an active galaxy, and a third one as wide as the disk."""
    bulge, disk = of("gaussian", 20.3, 22.6, (300.0, 1500.0), 1.2), of("gaussian", 20.3, 22.6, (1500.0, 1200.0), 4.0)
    spiral = reshaped(replace(bulge, components=(*bulge.components, *disk.components)), 1, ellipticity=SHAPE)
    nucleus = of("point", 35.2, 31.7, (500.0, 400.0))
    active = replace(
        nucleus, components=(*of("galaxy", 35.2, 31.7, (900.0, 800.0), 2.5).components, *nucleus.components)
    )
    scene: Scene = systems.scene().add(spiral, active, of("gaussian", 12.4, 38.1, (700.0, 600.0), 4.0))
    spiral, _, third = scene.sources
    own = (spiral.id, 1)
    return scene.linked("ellipticity", own, (spiral.id, 0)).linked("half_light_radius", own, (third.id, 0))


def test_a_link_takes_the_value_of_the_first(linked: Scene) -> None:
    spiral, _, third = linked.sources
    bulge, disk = (c.morphology.parameters for c in spiral.components)
    np.testing.assert_array_equal(bulge["ellipticity"].value, SHAPE)
    assert bulge["half_light_radius"].value != disk["half_light_radius"].value
    edited = linked.replace(reshaped(third, 0, half_light_radius=5.5))
    assert edited.sources[0].components[1].morphology.parameters["half_light_radius"].value == 5.5
    part = edited.sources[2].components[0]
    size = part.morphology.half_light_radius.bounded(1.0, 5.0).with_status(Status.FIXED)
    held = replace(part, morphology=part.morphology.with_parameters(half_light_radius=size))
    followed = edited.replace(replace(third, components=(held,))).sources[0].components[1].morphology.parameters
    assert float(size.value) == 5.0 and followed["half_light_radius"].is_like(size), "bounds and status go along"
    apart = edited.unlinked("half_light_radius", (third.id, 0)).replace(third)
    assert apart.sources[0].components[1].morphology.parameters["half_light_radius"].value == 5.5


def test_links_go_with_what_they_link(linked: Scene) -> None:
    third = linked.sources[2]
    assert linked.remove(third.id).links == linked.replace(third.retyped("point")).links == linked.links[:1]


def test_what_is_linked_stays_one_number_in_a_fit(systems: Any, linked: Scene) -> None:
    observation = systems.observe(linked, seed=9)
    start = linked.replace(reshaped(linked.sources[0], 1, ellipticity=(0.1, 0.1), half_light_radius=3.5))
    best = fit(start, [observation]).run()
    bulge, disk = (c.morphology.parameters for c in best.scene.sources[0].components)
    third = best.scene.sources[2].components[0].morphology.parameters
    np.testing.assert_allclose(bulge["ellipticity"].value, disk["ellipticity"].value, atol=1e-5)
    np.testing.assert_allclose(disk["ellipticity"].value, SHAPE, atol=0.05)
    sizes = [float(each["half_light_radius"].value) for each in (disk, third)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-5)
    assert sizes[0] == pytest.approx(4.0, rel=0.03)
    assert best.scene.links == linked.links
    assert best.chi2 == pytest.approx(1.0, abs=0.06)


def test_what_belongs_to_a_source_goes_with_it(linked: Scene) -> None:
    spiral, active, third = linked.sources
    scene = linked.hosted(third.id, active.id).hosted(active.id, spiral.id)
    moved = scene.moved({spiral.id: (spiral.x + 2.0, spiral.y - 1.0)})
    for before, after in zip(scene.sources, moved.sources, strict=True):
        np.testing.assert_allclose(after.center.value - before.center.value, (2.0, -1.0))
    going, staying = (spiral.id, (1.0, 1.0)), (active.id, (active.x, active.y))
    for places in ((going, staying), (staying, going)):
        apart = scene.moved(dict(places))
        np.testing.assert_allclose(apart.sources[2].center.value, third.center.value, atol=1e-9)
    assert [s.host for s in scene.remove(active.id).sources] == [None, None]
    with pytest.raises(ValueError, match="Source 1 cannot belong to itself, or to what belongs to it"):
        scene.hosted(spiral.id, third.id)


def test_what_cannot_be_linked_is_said(linked: Scene) -> None:
    spiral, active, _ = linked.sources
    with pytest.raises(ValueError, match="point of source 2 has no parameter 'ellipticity'; it has none"):
        linked.linked("ellipticity", (spiral.id, 0), (active.id, 1))
    with pytest.raises(ValueError, match="Source 1 has 2 components; there is no component 2"):
        linked.linked("ellipticity", (spiral.id, 0), (spiral.id, 2))
    with pytest.raises(ValueError, match="correction of source 2 is a picture; only numbers"):
        linked.linked("correction", (active.id, 0), (spiral.id, 0))
    with pytest.raises(ValueError, match="two components at least"):
        linked.linked("ellipticity", (spiral.id, 0))

"""A program that has taken any number of edits is the one that a scene would have been given now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from deblend import (
    Constraint,
    ConstraintKind,
    Extinction,
    Observation,
    PowerLaw,
    Program,
    Scene,
    Source,
    StarField,
    Status,
    make_source,
    start_dust,
)
from deblend.program.origins import box_origin
from deblend.scene import LogNormal, Normal, Uniform
from deblend.sky import Passband

N_EDITS = 120
BANDS = 2
KINDS = "point", "galaxy", "free-form"
ASKED = (
    *(ConstraintKind.POSITIVITY, ConstraintKind.CORRECTION, ConstraintKind.SYMMETRIC, ConstraintKind.MONOTONIC),
    *(ConstraintKind.COLOR_BOUNDS, ConstraintKind.L1),
)
Rng = np.random.Generator


def one_of(scene: Scene, rng: Rng, *kinds: str) -> Source:
    """Return any source, of these kinds where there is one."""
    known = [s for s in scene.sources if not kinds or s.kind in kinds] or list(scene.sources)
    return known[rng.integers(len(known))]


def of_one(change: Callable[[Source, Rng], Source], *kinds: str) -> Callable[[Scene, Rng], Scene]:
    """Return the edit that changes any source."""
    return lambda scene, rng: scene.replace(change(one_of(scene, rng, *kinds), rng))


def of_parts(change: Callable[[Any, Rng], Any], *kinds: str) -> Callable[[Scene, Rng], Scene]:
    """Return the edit that changes all components of any source."""
    return of_one(lambda s, rng: replace(s, components=tuple(change(c, rng) for c in s.components)), *kinds)


def free(scene: Scene) -> Scene:
    return scene.with_sources(s.with_status(Status.FREE) for s in scene.sources)


def added(scene: Scene, rng: Rng) -> Scene:
    size = {"half_light_radius": 2.2, "radius": int(rng.choice((8, 12, 15)))}
    flux = rng.uniform(50, 900, BANDS)
    return scene.add(make_source(str(rng.choice(KINDS)), *rng.uniform(-2, 50, 2), n_channels=BANDS, flux=flux, **size))


def deleted(scene: Scene, rng: Rng) -> Scene:
    return scene.remove(one_of(scene, rng).id) if len(scene) > 3 else added(scene, rng)


def duplicated(source: Source, rng: Rng) -> Source:
    place = source.center.value + 3.0
    return replace(
        source, center=source.center.at(place), anchor=tuple(place), id=f"{rng.integers(1 << 40):x}", name=""
    )


def linked(scene: Scene, rng: Rng) -> Scene:
    round_ones = [s for s in scene.sources if s.kind == "galaxy"]
    if scene.links or len(round_ones) < 2:
        return replace(scene, links=())
    return scene.linked("ellipticity", *((s.id, 0) for s in round_ones[:2]))


def asked(component: Any, rng: Rng) -> Any:
    kind = ASKED[rng.integers(len(ASKED))]
    morphology = component.morphology
    if not morphology.takes(kind):
        return component
    constraint = Constraint(kind, float(rng.uniform(0.05, 0.5)), active=bool(rng.integers(2)))
    return replace(component, morphology=morphology.with_constraint(constraint))


def believed(component: Any, rng: Rng) -> Any:
    prior = (None, Normal(500.0, 50.0), LogNormal(400.0, 0.3), Uniform(1.0, 5000.0))[rng.integers(4)]
    return replace(component, spectrum=component.spectrum.believed(prior, int(rng.integers(BANDS))))


def with_pixels(component: Any, rng: Rng) -> Any:
    morphology = component.morphology
    name = next((n for n, p in morphology.parameters.items() if p.value.ndim == 2), None)
    if name is None:
        return component
    pixels = morphology.parameters[name]
    picture = pixels.at(np.abs(rng.normal(size=pixels.value.shape)))
    return replace(component, morphology=morphology.with_parameters(**{name: picture}))


def blob(rng: Rng) -> np.ndarray | None:
    y, x = np.indices((48, 48)) - rng.uniform(5, 43, 2)[:, None, None]
    return None if rng.random() < 0.4 else np.hypot(y, x) < rng.uniform(3, 8)


def moved_off(source: Source, rng: Rng) -> Source:
    return replace(source, center=source.center.at(source.center.value + rng.normal(size=2) * 3.0))


def limited(source: Source, rng: Rng) -> Source:
    limit, scatter = float(rng.choice((1.0, np.inf))), float(rng.choice((0.3, 1.0)))
    return replace(source, center_limit=limit, center_scatter=scatter)


def dusty(source: Source, rng: Rng) -> Source:
    if source.dust is not None and rng.random() < 0.5:
        return source.dimmed(None)
    layer = start_dust(2.5, 12, n_channels=BANDS, kind="gaussian", extinction=Extinction("power-law"))
    return source.dimmed(layer.with_depths(float(rng.uniform(0.2, 2.0)))) if source.kind == "galaxy" else source


def starry(scene: Scene, rng: Rng) -> Scene:
    count = int(rng.integers(0, 20))
    field = StarField.at(rng.uniform(0, 47, count), rng.uniform(0, 47, count), BANDS)
    return scene.with_stars(field.with_flux(rng.uniform(10, 100, (count, BANDS))) if count else None)


def diffuse(scene: Scene, rng: Rng) -> Scene:
    if scene.full_scenes and rng.random() < 0.5:
        return scene.with_full_scenes(())
    more = scene.with_full_scene(float(rng.choice((16.0, 24.0))))
    return more.with_full_scenes(each.with_spectrum(rng.uniform(0.1, 1.0, BANDS)) for each in more.full_scenes[-2:])


def calibrated(scene: Scene, rng: Rng) -> Scene:
    found = scene.calibrating(*(name for name in ("shift", "background", "flux_scale") if rng.random() < 0.4))
    return found.with_calibrations(replace(c, shift=c.shift.at(0.2 * rng.normal(size=2))) for c in found.calibrations)


def with_passbands(scene: Scene, rng: Rng) -> Scene:
    first = rng.uniform(4000.0, 6000.0)
    bands = (Passband.top_hat(first + 1500.0 * k, 300.0) for k in range(BANDS))
    return scene.with_passbands(dict(zip(scene.channels, bands, strict=True)))


EDITS: tuple[Callable[[Scene, Rng], Scene], ...] = (
    *(added, deleted, linked, starry, diffuse, calibrated, with_passbands),
    lambda scene, rng: scene.add(duplicated(one_of(scene, rng), rng)),
    lambda scene, rng: free(scene).moved({one_of(scene, rng).id: tuple(rng.uniform(0, 47, 2))}),
    lambda scene, rng: scene.hiding(scene.channels[0], None if rng.random() < 0.4 else rng.random((48, 48)) < 0.05),
    lambda scene, rng: scene.barring(one_of(scene, rng, "galaxy", "free-form").id, blob(rng)),
    lambda scene, rng: scene.claiming(one_of(scene, rng).id, blob(rng)),
    lambda scene, rng: scene.with_sources([scene.sources[k] for k in rng.permutation(len(scene))]),
    *map(of_one, (moved_off, limited)),
    of_one(dusty, "galaxy"),
    of_one(lambda s, rng: s.retyped(str(rng.choice(KINDS)))),
    of_one(lambda s, rng: s.resized(int(rng.integers(6, 16)))),
    of_one(lambda s, rng: s.with_status(list(Status)[rng.integers(3)])),
    of_one(lambda s, rng: s.following(None if s.law else PowerLaw())),
    of_one(lambda s, rng: s.shining_in((True, bool(rng.integers(2))))),
    of_one(lambda s, rng: replace(s, channel_offsets=s.channel_offsets.at(0.1 * rng.normal(size=(BANDS, 2))))),
    *(of_parts(change, "galaxy", "free-form") for change in (asked, with_pixels)),
    of_parts(believed),
    of_parts(lambda c, rng: replace(c, spectrum=c.spectrum.at(rng.uniform(10, 900, BANDS)))),
)


def differences(warm: Program, fresh: Program) -> list[str]:
    """Return what of two programs of one scene is not the same, by name."""
    fresh.make_room(warm.rooms)
    # that there was something once is not forgotten, so that nothing compiles when it comes back
    fresh._has_ties, fresh._has_links = warm._has_ties, warm._has_links
    found: list[str] = []

    def compare(name: str, one: Any, other: Any) -> None:
        if not np.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True):
            found.append(name)

    n_used = [len(slots.members) for slots in warm._groups]
    of_groups = (warm.data.groups, fresh.data.groups), (warm.parameters.groups, fresh.parameters.groups)
    for pair in of_groups:
        for n, group, one, other in zip(n_used, warm.rooms, *pair, strict=True):
            leaves = jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other)
            for (path, a), b in zip(*leaves, strict=True):
                used = slice(n) if np.ndim(a) else ()
                compare(f"{group.kind}{jax.tree_util.keystr(path)}", a[used], b[used])
    for name in ("observations", "calibration"):
        for a, b in zip(jax.tree.leaves(getattr(warm.data, name)), jax.tree.leaves(getattr(fresh.data, name))):  # noqa: B905
            compare(name, a, b)
    for k in range(len(warm.observations)):
        compare("model", warm.model(k), fresh.model(k))
    return found


def test_random_edits_leave_nothing_behind(systems: Any) -> None:
    """What a warm program keeps (slots, columns, tables, layers of stars, of dust and of diffuse light) is what a new
    one would make, whatever is edited and taken back, and wherever it has stood meanwhile."""
    rng = np.random.default_rng(1)
    truth = systems.one_of_each()
    observations: list[Observation] = [systems.observe(truth)]
    start = truth.with_sources(s for s in truth.sources if s.kind in KINDS)
    warm, past = systems.program(observations, start), [start]
    for number in range(N_EDITS):
        if rng.random() < 0.12:
            edited = past[rng.integers(max(len(past) - 6, 0), len(past))]
            edit: Any = "undo"
        else:
            edit = EDITS[rng.integers(len(EDITS))]
            edited = edit(warm.scene, rng)
        if len(edited) > 7:
            edited = edited.remove(*(s.id for s in edited.sources[:3]))
        warm.update(edited, solve=bool(rng.random() < 0.3))
        if rng.random() < 0.2:
            with warm.standing_at(past[rng.integers(len(past))]):
                warm.columns()
        past.append(warm.scene)
        found = differences(warm, Program(observations, warm.scene, room=warm.rooms, solve=False))
        assert not found, f"{found} behind edit {number}, {edit}"


@pytest.mark.parametrize("off", [3.7, 9.3])
def test_states_of_a_fit_are_their_scenes_however_far_a_center_goes(systems: Any, off: float) -> None:
    """Pixels that correct a profile are those of a box: it stays where it is, and where it cannot, they do."""
    truth = systems.scene(("galaxy", 24.2, 23.4, (2500.0, 3500.0), {"half_light_radius": 2.6}))
    observation = systems.observe(truth)
    source = replace(
        truth.sources[0],
        components=(with_pixels(truth.sources[0].components[0], np.random.default_rng(2)),),
        anchor=(24.2 - off, 23.4),
        center=truth.sources[0].center.at((24.2, 22.1)),
        center_scatter=np.inf,
    )
    running = systems.fit(truth.with_sources([source]), [observation], max_iterations=6)
    origins = set()
    for state in running:
        fresh = Program([observation], state.scene, room=running.program.rooms, solve=False)
        assert state.chi2 == pytest.approx(fresh.chi2, rel=1e-5)
        np.testing.assert_allclose(state.model(), fresh.model(), atol=1e-4 * state.model().max())
        origins.add(box_origin(state.scene.sources[0], systems.shape))
    assert len(origins) == (1 if off < 4 else 2)

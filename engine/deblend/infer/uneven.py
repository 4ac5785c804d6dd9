"""Uneven galaxies: which ones a fit has found to be neither smooth nor elliptical, and how they begin anew.

A galaxy of the default kind is an elliptical profile and a correction u, whose belief costs ½ |u|². Smooth light spends
little of it: below 7 for Sérsic galaxies of S/N 10 to 280, as noise is all that u follows there. Spirals and
irregulars spend 10 to 400. They are split better from their neighbours under the learned prior, which knows arms and
knots, and smooth ones worse, so only galaxies that have told so are made learned ones.

What a neighbour has taken of such a galaxy's light it does not give back: the loss has another minimum near by. So the
fit begins anew for all sources that share light with it, where they were placed, round and without fluxes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from deblend.infer.part import neighbours
from deblend.observe import Observation
from deblend.scene import (
    LEARNED_LARGEST,
    LEARNED_REACH,
    LEARNED_SIGMA,
    PROFILE_SIGMAS,
    Component,
    ConstraintKind,
    Galaxy,
    Learned,
    Scene,
    Source,
)

UNEVEN = 10.0
"""½ |u|² above which a galaxy is uneven."""
BRIGHT = 700.0
"""Signal to noise of all bands together from which on that rises with its square: as bright as that, a smooth galaxy
shows by how little its light is not a sum of five Gaussians."""
SURE = 400.0
"""Signal to noise of all bands together from which on the learned prior holds the more: as loose as it is for faint
galaxies, bright ones take any picture, that of their neighbours too."""
LARGEST = 1.25
"""Half-light radius of what may become a learned galaxy, in units of the largest that was learned."""
FURTHEST = 2.0
"""Radius of the box of such a galaxy, and of those that it shares light with, in units of what was learned. Further out
pixels follow the noise: where Hubble resolved galaxies over 200 px, chi² fell to 0.7, by a little with every step."""
LEAST_BOX, LARGEST_BOX = 15, 31
SEEN = 4.0
"""Limits of the box that a learned galaxy begins in [pix], and the signal to noise of the light at its edge. Boxes of
the default kind grow to where light is no longer seen; there the learned prior would follow others, pixel by pixel."""
N_WEIGHTS = 10_000
"""As many pixels of an image tell how deep it is."""


def correction_costs(scene: Scene) -> Float[np.ndarray, " source"]:
    """Return ½ |u|² of every source, what it spends on being other than its profile; 0 where that costs nothing."""
    return np.array([_cost(source) for source in scene.sources], float)


def uneven(scene: Scene, observations: Sequence[Observation]) -> tuple[str, ...]:
    """Return the ids of the uneven galaxies of a fitted scene: of those of the kind "galaxy" that may become another.

    Locked ones, moving ones, and those with a shape that is fixed, linked to others or believed in are none of them.
    """
    linked = {source_id for link in scene.links for source_id, _ in link.members}
    costs = correction_costs(scene)
    return tuple(
        source.id
        for source, cost in zip(scene.sources, costs, strict=True)
        if cost > UNEVEN and source.id not in linked and _may_change(source)
        if cost > _threshold(source, scene, observations) and _is_as_learned(source, scene)
    )


def begun_anew(scene: Scene, source_ids: Collection[str], observations: Sequence[Observation]) -> Scene:
    """Return a fitted scene with these galaxies as learned ones, to be fitted again.

    They and all sources next to them start where they were placed, galaxies round and as large as they were found to
    be, with fluxes that are not known; what is not free stays as it is. All other sources stay where the fit has left
    them. Raises KeyError where there is no such source.
    """
    wanted = {scene[source_id].id for source_id in source_ids}
    touched = set(neighbours(scene, wanted))

    def begun(source: Source) -> Source:
        if source.id not in touched or source.is_locked:
            return source
        if source.id not in wanted:
            return _begun(source, _started)
        held, reach = _signal_to_noise(source, scene, observations) / SURE, _reach(source, scene, observations)
        return _begun(source, lambda component: _started(_learned(component, held, reach)))

    return scene.with_sources(map(begun, scene.sources))


def _galaxy(source: Source) -> Galaxy | None:
    """Return the morphology of a source that is nothing but a galaxy of the default kind."""
    morphology = source.components[0].morphology
    return morphology if len(source.components) == 1 and isinstance(morphology, Galaxy) else None


def _cost(source: Source) -> float:
    galaxy = _galaxy(source)
    held = None if galaxy is None else galaxy.constraint(ConstraintKind.CORRECTION)
    if galaxy is None or held is None or not held.active:
        return 0.0
    return 0.5 * float(np.sum(galaxy.correction.value**2))


def _may_change(source: Source) -> bool:
    galaxy = _galaxy(source)
    if galaxy is None or source.is_locked or source.track is not None:
        return False
    return all(p.is_free and not p.has_priors for p in galaxy.parameters.values())


def _is_as_learned(source: Source, scene: Scene) -> bool:
    """Tell whether a source, behind its PSF, and the boxes next to it are no larger than what was learned."""
    width = scene.model_psf_sigma / LEARNED_SIGMA
    furthest = max(scene[i].radius for i in neighbours(scene, {source.id}))
    size = source.components[0].morphology.half_light_radius_guess
    return bool(size <= LARGEST * LEARNED_LARGEST * width and furthest <= FURTHEST * LEARNED_REACH * width)


def _threshold(source: Source, scene: Scene, observations: Sequence[Observation]) -> float:
    """Return ½ |u|² above which a galaxy is uneven."""
    return UNEVEN * max(1.0, _signal_to_noise(source, scene, observations) / BRIGHT) ** 2


def _signal_to_noise(source: Source, scene: Scene, observations: Sequence[Observation]) -> float:
    """Return about the signal to noise of a galaxy over all bands, were it alone.

    A Gaussian of flux F and width σ has F² w / (4π σ²), w the inverse variance of a pixel; a PSF of Σ p² is as wide
    as one of σ² = 1 / (4π Σ p²).
    """
    information = 0.0
    for observation, scale, squares in _shining(source, scene, observations):
        width = scale * source.components[0].morphology.half_light_radius_guess / 1.1774
        areas = 4.0 * np.pi * width**2 + 1.0 / np.maximum(observation.star_information, 1e-30)
        information += float(np.sum(squares / areas))
    return float(np.sqrt(information))


def _shining(
    source: Source, scene: Scene, observations: Sequence[Observation]
) -> Iterator[tuple[Observation, float, Float[np.ndarray, " band"]]]:
    """Yield each observation, the width of a pixel of the scene in its pixels, and F² w of the source in its bands."""
    first = 0
    for observation in observations:
        weights = _typical_weights(observation)
        scale = scene.grid.affine_to(observation.grid).scale
        yield observation, scale, source.flux[first : first + len(weights)] ** 2 * weights
        first += len(weights)


def _typical_weights(observation: Observation) -> Float[np.ndarray, " band"]:
    """Return the median of some of the weights of every band that are not zero [nJy⁻²]."""
    some = [band.ravel()[:: max(band.size // N_WEIGHTS, 1)] for band in observation.weights]
    return np.array([np.median(w[w > 0]) if np.any(w > 0) else 0.0 for w in some])


def _reach(source: Source, scene: Scene, observations: Sequence[Observation]) -> int:
    """Return the radius of the box of a galaxy that becomes a learned one [pix]."""
    galaxy = _galaxy(source)
    assert galaxy is not None
    information = sum(float(np.sum(squares)) * scale**2 for _, scale, squares in _shining(source, scene, observations))
    radii = np.arange(LEAST_BOX, LARGEST_BOX)
    variances = (np.asarray(PROFILE_SIGMAS) * galaxy.scale) ** 2
    shares = galaxy.amplitudes.value / max(galaxy.amplitudes.value.sum(), 1e-30)
    light = np.exp(-0.5 * radii[:, None] ** 2 / variances) @ (shares / (2.0 * np.pi * variances))
    # two rings of a square box
    seen = np.sqrt(information * 16.0 * radii) * light > SEEN
    return int(radii[seen][-1]) + 1 if np.any(seen) else LEAST_BOX


def _begun(source: Source, begin: Callable[[Component], Component]) -> Source:
    """Return a source as it starts: nothing known of it but its place and its size."""
    center, offsets = source.center, source.channel_offsets
    if center.is_free and source.track is None:
        center = center.at(source.anchor)
    if offsets.is_free:
        offsets = offsets.at(np.zeros_like(offsets.value))
    return replace(source, center=center, channel_offsets=offsets, components=tuple(map(begin, source.components)))


def _learned(component: Component, held: float, reach: int) -> Component:
    """Return a galaxy as a learned one of its size, asked what the galaxy was asked as far as it can be.

    `held` is how much more than usual the learned prior holds it, `reach` the radius of its box at most [pix], but for
    one that a person has sized.
    """
    old = component.morphology
    radius = component.radius if component.is_box_held else min(component.radius, reach)
    new = Learned.start(old.half_light_radius_guess, radius)
    usual = new.constraint(ConstraintKind.LEARNED_PRIOR)
    assert usual is not None
    new = new.with_constraint(replace(usual, strength=float(np.clip(usual.strength * held, usual.strength, 1.0))))
    for constraint in old.constraints:
        if new.takes(constraint.kind):
            new = new.with_constraint(constraint)
    return replace(component, radius=radius, morphology=new)


def _started(component: Component) -> Component:
    spectrum, gradients, morphology = component.spectrum, component.color_gradients, component.morphology
    if spectrum.is_free:
        lit = component.shines_in or (True,) * len(spectrum.value)
        spectrum = spectrum.at(np.where(lit, np.nan, 0.0))
    if gradients.is_free:
        gradients = gradients.at(np.zeros_like(gradients.value))
    if isinstance(morphology, Galaxy):
        fresh = Galaxy.of_size(morphology.half_light_radius_guess, component.radius, morphology.scale)
        old, amplitudes = morphology.parameters, fresh.amplitudes.value
        # a Gaussian of 0 is no part of the profile
        amplitudes = np.where(morphology.amplitudes.value > 0, amplitudes, 0.0)
        values = {"amplitudes": amplitudes / amplitudes.sum(), "ellipticity": np.zeros(2)}
        values["correction"] = np.zeros_like(old["correction"].value)
        changed = {name: old[name].at(value) for name, value in values.items() if old[name].is_free}
        morphology = morphology.with_parameters(**changed)
    return replace(component, morphology=morphology, spectrum=spectrum, color_gradients=gradients)

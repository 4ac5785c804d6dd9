"""Sources held to plain profiles, so that what they cannot follow stands out.

A galaxy with a free-form correction, colors that change with radius and channels that see it a little off its center
follows a companion within a FWHM of the PSF to the noise: nothing is left over to find. An elliptical profile with one
spectrum does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deblend.scene import Component, Galaxy, Scene, Source, Status


def plain(scene: Scene) -> Scene:
    """Return the scene with every free source an ellipse of one spectrum, the same in all channels."""
    return scene.with_sources(source if source.is_locked else _held(source) for source in scene.sources)


def as_free_as(scene: Scene, given: Scene) -> Scene:
    """Return a fitted plain scene with as much freedom for its sources as those of the same id in another scene."""
    by_id = {source.id: source for source in given.sources}
    return scene.with_sources(
        _freed(source, by_id[source.id]) if source.id in by_id else source for source in scene.sources
    )


def _held(source: Source) -> Source:
    offsets = replace(source.channel_offsets, status=Status.FIXED, value=np.zeros_like(source.channel_offsets.value))

    def held(component: Component) -> Component:
        gradients = component.color_gradients
        component = replace(
            component, color_gradients=replace(gradients, status=Status.FIXED, value=np.zeros_like(gradients.value))
        )
        morphology = component.morphology
        if not isinstance(morphology, Galaxy):
            return component
        pixels = np.zeros_like(morphology.correction.value)
        correction = replace(morphology.correction, status=Status.FIXED, value=pixels)
        return replace(component, morphology=morphology.with_parameters(correction=correction))

    return _changed(replace(source, channel_offsets=offsets), held)


def _freed(source: Source, given: Source) -> Source:
    offsets = source.channel_offsets.with_status(given.channel_offsets.status)
    old = iter(given.components)

    def freed(component: Component) -> Component:
        wanted, morphology = next(old), component.morphology
        component = replace(
            component, color_gradients=component.color_gradients.with_status(wanted.color_gradients.status)
        )
        if not isinstance(morphology, Galaxy) or not isinstance(wanted.morphology, Galaxy):
            return component
        correction = morphology.correction.with_status(wanted.morphology.correction.status)
        return replace(component, morphology=morphology.with_parameters(correction=correction))

    return _changed(replace(source, channel_offsets=offsets), freed)


def _changed(source: Source, change: Callable[[Component], Component]) -> Source:
    return replace(source, components=tuple(map(change, source.components)))

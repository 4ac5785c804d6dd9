"""The linear problem of a scene's fluxes, as `NormalEquations.solve` takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.program.drawing import parts_of
from deblend.program.laws import Laws
from deblend.program.ties import flux_basis
from deblend.scene import Parameter, Scene, Status


def flux_problem(
    scene: Scene, noise: Float[np.ndarray, " channel"], has_epochs: bool, laws: Laws | None
) -> tuple[Any, ...]:
    """Return the fluxes of all components, those of light over the whole scene behind those of sources, 1 where they
    are free, their bounds and what ties them.

    Fluxes are in units of each channel's noise, and free where they are not known; the tie is None where there are
    neither several epochs of a passband nor laws.
    """
    components = [source.components[index] for source, index in parts_of(scene)]
    spectra = [c.spectrum for c in components]
    for each in scene.full_scenes:
        status = Status.FIXED if each.is_fixed else Status.FREE
        spectra.append(Parameter(each.spectrum, lower=0.0, status=status))
    shape = (len(spectra), len(noise))
    flux = np.nan_to_num(np.reshape([p.value for p in spectra], shape)) / noise
    unsolved = np.array([not np.all(np.isfinite(p.value)) for p in spectra], bool)
    free = np.broadcast_to(np.array([p.is_free for p in spectra], bool)[:, None], shape) | unsolved[:, None]
    shining = [np.broadcast_to(c.shines_in or True, shape[1:]) for c in components]
    shining += [np.ones(shape[1:], bool)] * len(scene.full_scenes)
    free = free & np.reshape(shining, shape).astype(bool)
    lower = np.broadcast_to(np.array([p.lower for p in spectra])[:, None], shape) / noise
    upper = np.broadcast_to(np.array([p.upper for p in spectra])[:, None], shape) / noise
    ties = None
    if has_epochs or laws is not None:
        lawful = [None if laws is None else laws.find(s.id, k) for s, k in parts_of(scene)]
        ties = [
            flux_basis(scene.channels, noise, c.is_variable) if m is None else m.present
            for c, m in zip(components, lawful, strict=True)
        ]
        ties += [flux_basis(scene.channels, noise, False)] * len(scene.full_scenes)
    return flux, free.astype(float), lower, upper, ties


def with_fluxes(scene: Scene, fluxes: Float[np.ndarray, "part channel"]) -> Scene:
    """Return the scene with these fluxes of its components [nJy], one source after another, then full scenes."""
    rows = iter(fluxes)
    lit = scene.with_sources(
        replace(
            source,
            components=tuple(replace(c, spectrum=c.spectrum.at(next(rows))) for c in source.components),
        )
        for source in scene.sources
    )
    return replace(lit, full_scenes=tuple(each.with_spectrum(next(rows)) for each in scene.full_scenes))

"""Gaussian errors of fluxes, with everything else that is free marginalised over.

At the best fit the posterior is about Gaussian, with the inverse of the Gauss-Newton matrix as covariance (Laplace).
Samples of it are drawn by solving that matrix for a right side made of random noise, of data and priors alike
(Papandreou & Yuille 2010; Bardsley et al. 2014 for the non-linear case): one solution serves all fluxes, so the cost
does not grow with the number of sources. Fluxes are not held at their bounds, so that a faint source has an error, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.infer.given_shapes import are_fluxes_linear, drawn_around, flux_covariances
from deblend.infer.noise_solver import TOLERANCE, NoiseSolver
from deblend.program import Program
from deblend.program.calibration_terms import in_units_of_scene

MOST_SAMPLES, LEAST_SAMPLES = 32, 12
"""Solutions, of a scene of usual size and of a large one: an error is known to 1/√(2·32) = 12 % of itself, or 20 %.

They take the more time the more sky there is, and a fifth of an error sooner is worth more than an eighth later."""
MOST_SPLIT, LEAST_SPLIT, TIMES = 16, 8, 4
"""Solutions where fluxes are known given shapes, and draws of fluxes for the shapes of each: an error of a flux is then
known to a tenth of itself from eight solutions, that of a center to a quarter."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of how far what was fitted may be off."""

    fluxes: Float[np.ndarray, "sample source channel"]
    """[nJy]"""
    flux_errors: Float[np.ndarray, "source channel"]
    """Standard deviation of each flux [nJy]."""
    centers: Float[np.ndarray, "sample source 2"]
    """(x, y) [pix of the scene's grid]"""
    calibration: Float[np.ndarray, "sample channel 10"] | None
    """In the order and units of the parameters of `Calibration`; None where images are taken for what their files
    say."""
    laws: dict[tuple[str, int], dict[str, np.ndarray]] = field(default_factory=dict)
    """Of the free parameters of laws, (sample, …), by their names, for the id of a source and the index of its
    component."""
    stars: Float[np.ndarray, "sample star channel"] | None = None
    """Of the fluxes of known stars [nJy]; None where there are none."""

    full_scenes: Float[np.ndarray, "sample component channel"] | None = None
    """Of light that covers the whole scene [nJy]; None where there is none."""

    depths: dict[str, np.ndarray] = field(default_factory=dict)
    """Of the total optical depth of dust, (sample,) or (sample, channel), by the id of its source."""

    @property
    def depth_errors(self) -> dict[str, np.ndarray]:
        """Standard deviation of the total optical depth of dust, by the id of its source."""
        return {source_id: np.sqrt(np.mean(depths**2, axis=0)) for source_id, depths in self.depths.items()}

    @property
    def full_scene_errors(self) -> Float[np.ndarray, "component channel"] | None:
        """Standard deviation of the light of each component over the whole scene [nJy]; None where there is none."""
        return None if self.full_scenes is None else np.sqrt(np.mean(self.full_scenes**2, axis=0))

    @property
    def star_errors(self) -> Float[np.ndarray, "star channel"] | None:
        """Standard deviation of the flux of each known star [nJy]; None where there are none."""
        return None if self.stars is None else np.sqrt(np.mean(self.stars**2, axis=0))

    def law_errors(self, source_id: str, index: int = 0) -> dict[str, np.ndarray]:
        """Return the standard deviations of the free parameters of a component's law, by their names."""
        return {name: np.sqrt(np.mean(d**2, axis=0)) for name, d in self.laws.get((source_id, index), {}).items()}

    @property
    def center_errors(self) -> Float[np.ndarray, "source 2"]:
        """Standard deviation of x and y of each center [pix]; 0 for one that is not free."""
        return np.sqrt(np.mean(self.centers**2, axis=0))

    @property
    def calibration_errors(self) -> Float[np.ndarray, "channel 10"] | None:
        """Standard deviations in the order of `calibration`; 0 for what is not free."""
        return None if self.calibration is None else np.sqrt(np.mean(self.calibration**2, axis=0))


def draw(
    program: Program,
    *,
    n_samples: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
    tolerance: float = TOLERANCE,
) -> Draws:
    """Return draws of how far the values of the program's scene may be off.

    `n_samples` is the number of solutions, each to this `tolerance`; without it there are fewer for large scenes. Where
    fluxes are known given shapes, each of them gives `TIMES` draws. `progress` is called with how many solutions are
    done, and how many there are.
    """
    noise_solver = NoiseSolver(program, program.parameters, tolerance)
    known = flux_covariances(program) if are_fluxes_linear(program) else None
    layout, parameters, laws = program.layout, noise_solver.parameters, noise_solver.laws
    if n_samples is None:
        most, least = (MOST_SAMPLES, LEAST_SAMPLES) if known is None else (MOST_SPLIT, LEAST_SPLIT)
        n_samples = int(np.clip(most * noise_solver.ease, least, most))
    rng = np.random.default_rng(seed)
    rows = program.rows
    fluxes = np.zeros((n_samples, len(program.scene), layout.n_channels))
    pushed = np.zeros_like(fluxes)
    centers = np.zeros((n_samples, len(program.scene), 2))
    terms = None if parameters.calibration is None else np.zeros((n_samples, *parameters.calibration.shape))
    of_laws: dict[tuple[str, int], list[dict[str, np.ndarray]]] = {}
    of_stars: list[np.ndarray] = []
    everywhere: list[np.ndarray] = []
    of_dust: dict[str, list[np.ndarray]] = {}
    for sample, (change, push, priors) in enumerate(noise_solver.draws(rng, n_samples)):
        for members, group, noise in zip(rows, change.groups, push.groups, strict=True):
            # a source's flux is that of all its components
            np.add.at(fluxes[sample], members, np.asarray(group.flux)[: len(members)])
            np.add.at(pushed[sample], members, np.asarray(noise.flux)[: len(members)])
            centers[sample, members] = np.asarray(group.theta)[: len(members), 1::-1]
        if laws is not None:
            for key, values in laws.changes(change, priors).items():
                of_laws.setdefault(key, []).append(values)
        if terms is not None and change.calibration is not None:
            terms[sample] = in_units_of_scene(change.calibration, program.calibration_units)
        if program.scene.stars is not None:
            of_stars.append(program.star_fluxes(change))
        if program.scene.full_scenes:
            everywhere.append(program.full_scene_change(change))
        for source_id, depth in program.depth_change(change).items():
            of_dust.setdefault(source_id, []).append(depth)
        if progress is not None:
            progress(sample + 1, n_samples)
    stacked = {key: {name: np.stack([s[name] for s in drawn]) for name in drawn[0]} for key, drawn in of_laws.items()}
    star_draws, light_draws = (np.stack(drawn) if drawn else None for drawn in (of_stars, everywhere))
    depths = {source_id: np.stack(drawn) for source_id, drawn in of_dust.items()}
    variances = np.mean(fluxes**2, axis=0)
    if known is not None:
        # the push is downhill: it has the other sign than the change that it brings about
        means = fluxes + np.einsum("cst,ktc->ksc", np.nan_to_num(known), pushed)
        split = np.einsum("css->sc", known) + np.mean(means**2, axis=0)
        variances = np.where(np.isfinite(split), split, variances)
        fluxes, centers = drawn_around(means, known, TIMES, rng), np.repeat(centers, TIMES, axis=0)
        # what is made of the draws, covariances and colors, goes with errors that are known better than they say
        size = np.sqrt(np.mean(fluxes**2, axis=0))
        fluxes *= np.where(size > 0, np.sqrt(variances) / np.where(size > 0, size, 1.0), 1.0)
    errors = np.sqrt(variances) * program.noise
    return Draws(fluxes * program.noise, errors, centers, terms, stacked, star_draws, light_draws, depths)

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

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from deblend.infer.gauss_newton import Step
from deblend.infer.solvers import compiled_blocks, compiled_direction, compiled_linearized
from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.calibration import calibrated
from deblend.program.calibration_terms import in_units_of_scene
from deblend.program.compiled import compiled, register, small_matrices
from deblend.program.full_scene_layer import ROUGH, full_scene_bounds
from deblend.program.layout import Layout
from deblend.program.noise import weighted_noise
from deblend.program.operator import apply_adjoint
from deblend.program.penalty import Noise, negative_weights, noise_response

MOST_SAMPLES, LEAST_SAMPLES = 32, 12
"""Solutions; an error is known to 1/√(2·32) = 12 % of itself, or 20 %."""
EASY = 200_000
"""Pixels of sky, over all channels, up to which there are as many as may be; they take the more time the more there
are, and a fifth of an error sooner is worth more than an eighth later."""
TOLERANCE, MOST_ITERATIONS = 0.005, (80, 400)
"""Of a solution. Of iterations there may be fewer on large scenes, down to the first number, as of samples."""
SMALL_DAMPING = 1e-5


def noise_step(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    step: Step,
    images: Any,
    noise: Noise,
) -> Step:
    """Return the linearized problem with a gradient made of unit noise instead of residuals, and all fluxes free."""
    seen = calibrated(layout, data, parameters)
    negative = negative_weights(layout, data, step.lags, step.lines)
    lights = tuple(None if w is None else w * pictures[1] for w, pictures in zip(negative, noise.pixels, strict=True))
    response = apply_adjoint(layout, seen, parameters, step.lines, weighted_noise(data, images), lights, step.tangents)
    gradient = jax.tree.map(jnp.add, response, noise_response(layout, data, parameters, step.lags, noise))
    free = []
    for group, d, f in zip(layout.groups, data.groups, step.free.groups, strict=True):
        used = (jnp.arange(group.capacity) < d.count)[:, None]
        free.append(f._replace(flux=d.flux_free * used))
    stars = None if data.stars is None else data.stars.free
    _, _, everywhere = full_scene_bounds(data.full_scene)
    every = step.free._replace(groups=tuple(free), stars=stars, full_scene=everywhere)
    return step._replace(gradient=gradient, free=every)


register(Noise)
compiled_noise_step = compiled(noise_step)


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of how far what was fitted may be off."""

    fluxes: Float[np.ndarray, "sample source channel"]
    """[nJy]"""
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
    def flux_errors(self) -> Float[np.ndarray, "source channel"]:
        """Standard deviation of each flux [nJy]."""
        return np.sqrt(np.mean(self.fluxes**2, axis=0))

    @property
    def center_errors(self) -> Float[np.ndarray, "source 2"]:
        """Standard deviation of x and y of each center [pix]; 0 for one that is not free."""
        return np.sqrt(np.mean(self.centers**2, axis=0))

    @property
    def calibration_errors(self) -> Float[np.ndarray, "channel 10"] | None:
        """Standard deviations in the order of `calibration`; 0 for what is not free."""
        return None if self.calibration is None else np.sqrt(np.mean(self.calibration**2, axis=0))


def draw(
    program: Program, *, n_samples: int | None = None, seed: int = 0, progress: Callable[[int, int], Any] | None = None
) -> Draws:
    """Return draws of how far the values of the program's scene may be off.

    Without `n_samples` there are fewer of them for large scenes. `progress` is called with how many samples are done,
    and how many there are.
    """
    layout, data, parameters = program.layout, program.data, program.parameters
    ease = EASY / (len(layout.planes) * np.prod(layout.canvas_shape))
    if n_samples is None:
        n_samples = int(np.clip(MOST_SAMPLES * ease, LEAST_SAMPLES, MOST_SAMPLES))
    rng = np.random.default_rng(seed)
    laws = None if program.laws is None else program.laws.touching()
    data = data if laws is None else laws.tying(data)
    step = compiled_linearized(layout, data, parameters)
    dtype = program.dtype

    def unit_noise(shape: tuple[int, ...]) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    damped = np.asarray(SMALL_DAMPING, dtype), np.zeros((), dtype)
    least, most = MOST_ITERATIONS
    numbers = np.asarray(TOLERANCE, dtype), np.int32(np.clip(most * ease, least, most))
    blocks = None
    rows = program.rows
    fluxes = np.zeros((n_samples, len(program.scene), layout.n_channels))
    centers = np.zeros((n_samples, len(program.scene), 2))
    terms = None if parameters.calibration is None else np.zeros((n_samples, *parameters.calibration.shape))
    of_laws: dict[tuple[str, int], list[dict[str, np.ndarray]]] = {}
    of_stars: list[np.ndarray] = []
    everywhere: list[np.ndarray] = []
    of_dust: dict[str, list[np.ndarray]] = {}
    for sample in range(n_samples):
        images = tuple(unit_noise(o.images.shape) for o in data.observations)
        noise = Noise(
            tuple(unit_noise(p.theta.shape) for p in parameters.groups),
            tuple(None if p.pixels is None else unit_noise((3, *p.pixels.shape)) for p in parameters.groups),
            tuple(unit_noise(p.aspect.shape) for p in parameters.groups),
            None if parameters.calibration is None else unit_noise(parameters.calibration.shape),
            None if parameters.stars is None else unit_noise(parameters.stars.shape),
            None
            if parameters.full_scene is None
            else tuple(unit_noise(parameters.full_scene.coefficients.shape) for _ in range(ROUGH)),
        )
        noisy = compiled_noise_step(layout, data, parameters, step, images, noise)
        priors: list[np.ndarray] = []
        if laws is not None:
            noisy, priors = laws.with_noise(noisy, rng)
        with small_matrices():
            if blocks is None:
                blocks = compiled_blocks(layout, data, parameters, noisy, *damped)
            change, _ = compiled_direction(layout, data, parameters, noisy, blocks, *damped, *numbers)
        for members, group in zip(rows, change.groups, strict=True):
            # a source's flux is that of all its components
            np.add.at(fluxes[sample], members, np.asarray(group.flux)[: len(members)] * program.noise)
            centers[sample, members] = np.asarray(group.theta)[: len(members), 1::-1]
        if laws is not None:
            for key, values in laws.changes(change, priors).items():
                of_laws.setdefault(key, []).append(values)
        if terms is not None:
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
    return Draws(fluxes, centers, terms, stacked, star_draws, light_draws, depths)

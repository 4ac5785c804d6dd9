"""Gaussian errors of fluxes, with everything else that is free marginalised over.

At the best fit the posterior is about Gaussian, with the inverse of the Gauss-Newton matrix as covariance (Laplace).
Samples of it are drawn by solving that matrix for a right side made of random noise, of data and priors alike
(Papandreou & Yuille 2010; Bardsley et al. 2014 for the non-linear case): one solution serves all fluxes, so the cost
does not grow with the number of sources. Fluxes are not held at their bounds, so that a faint source has an error, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from deblend.infer.gauss_newton import Step
from deblend.infer.solvers import compiled_blocks, compiled_direction, compiled_linearized
from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.compiled import compiled, register, small_matrices
from deblend.program.layout import Layout
from deblend.program.operator import apply_adjoint
from deblend.program.penalty import Noise, negative_weights, noise_response

N_SAMPLES = 32
"""Solutions; an error is known to 1/√(2·32) = 12 % of itself."""
TOLERANCE = 0.05
MOST_ITERATIONS = 60
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
    weighted = tuple(jnp.sqrt(o.weights) * image for o, image in zip(data.observations, images, strict=True))
    negative = negative_weights(layout, data, step.lags, step.lines)
    lights = tuple(None if w is None else w * pictures[1] for w, pictures in zip(negative, noise.pixels, strict=True))
    response = apply_adjoint(layout, data, parameters, step.lines, weighted, lights)
    gradient = jax.tree.map(jnp.add, response, noise_response(layout, data, parameters, step.lags, noise))
    free = []
    for group, d, f in zip(layout.groups, data.groups, step.free, strict=True):
        used = (jnp.arange(group.capacity) < d.count)[:, None]
        free.append(f._replace(flux=d.flux_free * used))
    return step._replace(gradient=gradient, free=tuple(free))


register(Noise)
compiled_noise_step = compiled(noise_step)


def flux_samples(
    program: Program, *, n_samples: int = N_SAMPLES, seed: int = 0, progress: Callable[[int, int], Any] | None = None
) -> Float[np.ndarray, "sample source channel"]:
    """Return draws of how far the fluxes of the program's scene may be off [nJy].

    `progress` is called with how many samples are done, and how many there are.
    """
    layout, data, parameters = program.layout, program.data, program.parameters
    rng = np.random.default_rng(seed)
    step = compiled_linearized(layout, data, parameters)
    dtype = program.dtype
    damped = np.asarray(SMALL_DAMPING, dtype), np.zeros((), dtype)
    numbers = np.asarray(TOLERANCE, dtype), np.int32(MOST_ITERATIONS)
    blocks = None
    rows = program.rows
    result = np.zeros((n_samples, len(program.scene), layout.n_channels))
    for sample in range(n_samples):
        images = tuple(rng.standard_normal(o.images.shape).astype(dtype) for o in data.observations)
        theta = tuple(rng.standard_normal(p.theta.shape).astype(dtype) for p in parameters)
        pixels = tuple(
            None if p.pixels is None else rng.standard_normal((3, *p.pixels.shape)).astype(dtype) for p in parameters
        )
        aspect = tuple(rng.standard_normal(p.aspect.shape).astype(dtype) for p in parameters)
        noisy = compiled_noise_step(layout, data, parameters, step, images, Noise(theta, pixels, aspect))
        with small_matrices():
            if blocks is None:
                blocks = compiled_blocks(layout, data, parameters, noisy, *damped)
            change, _ = compiled_direction(layout, data, parameters, noisy, blocks, *damped, *numbers)
            fluxes = [np.asarray(p.flux) for p in change]
        for members, flux in zip(rows, fluxes, strict=True):
            result[sample, members] = flux[: len(members)] * program.noise
        if progress is not None:
            progress(sample + 1, n_samples)
    return result


def flux_errors(program: Program, **options: Any) -> Float[np.ndarray, "source channel"]:
    """Return the standard deviation of each flux [nJy]; options as in `flux_samples`."""
    samples = flux_samples(program, **options)
    return np.sqrt(np.mean(samples**2, axis=0))

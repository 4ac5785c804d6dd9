"""Draws from the Gaussian that the Gauss-Newton matrix H of a fit stands for (Laplace), a solution of H v = Jᵀ n each.

The noise n is that of the data and of all priors, so that v has the covariance H⁻¹ (Papandreou & Yuille 2010), whatever
the number of parameters: no matrix is ever made. Fluxes are not held at their bounds.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deblend.algebra import small_matrices
from deblend.infer.gauss_newton import Step
from deblend.infer.solvers import compiled_blocks, compiled_direction, compiled_linearized
from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.calibration import calibrated
from deblend.program.compiled import compiled, register
from deblend.program.full_scene_layer import ROUGH, full_scene_bounds
from deblend.program.layout import Layout
from deblend.program.noise import weighted_noise
from deblend.program.operator import apply_adjoint
from deblend.program.penalty import Noise, negative_weights, noise_response

EASY = 200_000
"""Pixels of sky, over all channels, up to which solutions are as good as they may be."""
TOLERANCE, MOST_ITERATIONS = 0.01, (80, 400)
"""Of a solution. Of iterations there may be fewer on large scenes, down to the first number."""
STIFF_TOLERANCE, STIFF_ITERATIONS, STIFF_EASE = 0.003, 800, 0.4
"""The same where there are learned galaxies, whose pixels trade with whatever lies in them, and how many of the usual
draws there are then: with the numbers above, the error of what lies in them came out 0.2 to 0.6 of what it is."""
SMALL_DAMPING = 1e-5
MOST_AT_ONCE = 4
"""Solutions of draws side by side, a thread each."""


def noise_gradient(
    layout: Layout, data: ProblemData, parameters: Parameters, step: Step, images: Any, noise: Noise
) -> Parameters:
    """Return Jᵀ n for unit noise n of the pixels of all observations, and of everything that is penalised."""
    seen = calibrated(layout, data, parameters)
    negative = negative_weights(layout, data, step.lags, step.lines)
    lights = tuple(None if w is None else w * pictures[1] for w, pictures in zip(negative, noise.pixels, strict=True))
    response = apply_adjoint(layout, seen, parameters, step.lines, weighted_noise(data, images), lights, step.tangents)
    gradient: Parameters = jax.tree.map(jnp.add, response, noise_response(layout, data, parameters, step.lags, noise))
    return gradient


def noise_step(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    step: Step,
    images: Any,
    noise: Noise,
) -> Step:
    """Return the linearized problem with a gradient made of unit noise instead of residuals, and all fluxes free."""
    gradient = noise_gradient(layout, data, parameters, step, images, noise)
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


def unit_noise(
    data: ProblemData, parameters: Parameters, rng: np.random.Generator, dtype: Any
) -> tuple[tuple[Any, ...], Noise]:
    """Return independent unit noise for all pixels of every observation, and for everything that is penalised."""

    def drawn(shape: tuple[int, ...]) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    images = tuple(drawn(o.images.shape) for o in data.observations)
    everywhere = parameters.full_scene
    noise = Noise(
        tuple(drawn(p.theta.shape) for p in parameters.groups),
        tuple(None if p.pixels is None else drawn((3, *p.pixels.shape)) for p in parameters.groups),
        tuple(drawn(p.aspect.shape) for p in parameters.groups),
        None if parameters.calibration is None else drawn(parameters.calibration.shape),
        None if parameters.stars is None else drawn(parameters.stars.shape),
        None if everywhere is None else tuple(drawn(everywhere.coefficients.shape) for _ in range(ROUGH)),
        tuple(None if d.beliefs is None else drawn(d.beliefs.mean.shape) for d in data.groups),
    )
    return images, noise


class NoiseSolver:
    """The problem of a program linearized at one point, and solved for noise as often as wanted."""

    def __init__(self, program: Program, parameters: Parameters, tolerance: float = TOLERANCE) -> None:
        """Linearize at `parameters`, which are those of the program's slots; `tolerance` is that of a solution."""
        self.layout, self.parameters = program.layout, parameters
        self.laws = None if program.laws is None else program.laws.touching()
        """Of the fluxes, with the planes that touch their surfaces; None where there are none."""
        self.data = program.data if self.laws is None else self.laws.tying(program.data)
        self.ease = float(EASY / (len(self.layout.planes) * np.prod(self.layout.canvas_shape)))
        """1 for a scene of usual size, less for a larger one, or one whose solutions take longer."""
        least, most = MOST_ITERATIONS
        limit = int(np.clip(most * self.ease, least, most))
        if self.data.learned is not None and self.data.learned.classes is not None:
            tolerance, limit = STIFF_TOLERANCE, max(limit, round(STIFF_ITERATIONS * min(self.ease, 1.0)))
            self.ease = STIFF_EASE * min(self.ease, 1.0)
        self.step = compiled_linearized(self.layout, self.data, parameters)
        self._dtype = program.dtype
        self._damping = np.asarray(SMALL_DAMPING, program.dtype), np.zeros((), program.dtype)
        # a draw is linear in its noise: light is negative where the fit has it so
        self._numbers = np.asarray(tolerance, program.dtype), np.int32(limit), np.int32(1)
        self._blocks: Any = None

    def draw(self, rng: np.random.Generator) -> tuple[Parameters, list[np.ndarray]]:
        """Return a draw of how far the parameters are off, and the noise of the priors of laws."""
        noisy, priors = self._noisy(rng)
        return self.solve(self.data, self.parameters, noisy)[0], priors

    def draws(self, rng: np.random.Generator, count: int) -> Iterator[tuple[Parameters, Parameters, list[np.ndarray]]]:
        """Yield as many draws v, the noise Jᵀ n that has pushed there, H v = -Jᵀ n, and that of the priors of laws.

        They are the same as one after another would be; several are solved for at a time."""
        at_once = min(os.cpu_count() or 1, MOST_AT_ONCE)
        pending: deque[tuple[Future[Any], Parameters, list[np.ndarray]]] = deque()
        with ThreadPoolExecutor(at_once, thread_name_prefix="errors") as pool:
            for _ in range(count):
                noisy, priors = self._noisy(rng)
                if self._blocks is None:
                    yield self.solve(self.data, self.parameters, noisy)[0], noisy.gradient, priors
                    continue
                work = pool.submit(self.solve, self.data, self.parameters, noisy)
                pending.append((work, noisy.gradient, priors))
                if len(pending) > at_once:
                    solved, push, of_laws = pending.popleft()
                    yield solved.result()[0], push, of_laws
            for solved, push, of_laws in pending:
                yield solved.result()[0], push, of_laws

    def _noisy(self, rng: np.random.Generator) -> tuple[Step, list[np.ndarray]]:
        """Return the problem with unit noise for residuals, and that of the priors of laws."""
        images, noise = unit_noise(self.data, self.parameters, rng, self._dtype)
        noisy = compiled_noise_step(self.layout, self.data, self.parameters, self.step, images, noise)
        priors: list[np.ndarray] = []
        if self.laws is not None:
            noisy, priors = self.laws.with_noise(noisy, rng)
        return noisy, priors

    def solve(
        self, data: ProblemData, parameters: Parameters, step: Step, caution: float = 0.0
    ) -> tuple[Parameters, float]:
        """Return the minimum of a step's quadratic model, and the fall that it promises; its preconditioner is that of
        the first point that was solved at. `caution` damps shape parameters (see `newton_blocks`)."""
        damping = self._damping[0], np.asarray(caution, self._dtype)
        with small_matrices():
            if self._blocks is None:
                self._blocks = compiled_blocks(self.layout, data, parameters, step, *self._damping)
            change, promise = compiled_direction(
                self.layout, data, parameters, step, self._blocks, *damping, *self._numbers
            )
            return change, float(promise)

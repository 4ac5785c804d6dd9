"""Fits of perturbed data and priors, from a fit that has converged: randomise, then optimise.

With r the residuals of data and priors and n unit noise, the minimum of ½ |r(x) + n|² is a draw of the posterior:
exactly where r is linear (Papandreou & Yuille 2010), and about so elsewhere (Bardsley et al. 2014, without their
weights). Unlike draws of the Gauss-Newton matrix these stay within their bounds, so that fluxes are not negative.
Bounds, and negative light that profiles are not to have, are no residuals and get no noise.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deblend.infer.gauss_newton import Step, free_within, range_at
from deblend.infer.noise_solver import NoiseSolver, noise_gradient, unit_noise
from deblend.infer.solvers import as_numpy, compiled_linearized, compiled_seen
from deblend.observe.whitening import whiten_adjoint
from deblend.program import Program
from deblend.program.arrays import ObservationData, Parameters, ProblemData
from deblend.program.compiled import compiled
from deblend.program.layout import Layout
from deblend.program.penalty import Noise, is_free_form, noise_response
from deblend.program.ties import tied

MOST_STEPS, MOST_FIRST_STEPS = 8, 40
"""Of one draw, and to the fit's own minimum, where it was not quite reached."""
QUIET = 0.01
"""A step that lowers ½ χ² by less than this moves no number by more than a seventh of its error, and is the last."""
FRACTIONS = (1.0, 0.5, 0.2, 0.05)
"""Lengths tried along a step."""


def perturbed(
    layout: Layout, data: ProblemData, parameters: Parameters, step: Step, images: Any, noise: Noise
) -> tuple[Step, Parameters]:
    """Return a step of the perturbed problem, and the part of its gradient that is noise of priors."""
    response = noise_gradient(layout, data, parameters, step, images, noise)
    gradient = tied(data, jax.tree.map(jnp.add, step.gradient, response))
    free = free_within(range_at(layout, data, parameters), parameters, gradient)
    tilt = tied(data, noise_response(layout, data, parameters, step.lags, noise))
    return step._replace(gradient=gradient, free=free), tilt


compiled_perturbed = compiled(perturbed)


class Refits:
    """Warm fits of a program's scene to perturbed data."""

    def __init__(self, program: Program, parameters: Parameters) -> None:
        """Start at `parameters`, those of the program's slots, and go to the minimum next to them."""
        self._solver = NoiseSolver(program, parameters)
        self._data: ProblemData = self._solver.data
        self._observations = [_on_host(o) for o in self._data.observations]
        self._dtype = program.dtype
        images, noise = unit_noise(self._data, parameters, np.random.default_rng(0), program.dtype)
        images, noise = jax.tree.map(np.zeros_like, (images, noise))
        self.mode = self._fitted(parameters, images, noise, MOST_FIRST_STEPS)
        """The parameters of the unperturbed minimum."""

    def draw(self, rng: np.random.Generator) -> Parameters:
        """Return the parameters that fit perturbed data best."""
        images, noise = unit_noise(self._data, self.mode, rng, self._dtype)
        pixels = tuple(
            None if drawn is None else drawn if is_free_form(group) else _without_negative_light(drawn)
            for group, drawn in zip(self._solver.layout.groups, noise.pixels, strict=True)
        )
        return self._fitted(self.mode, images, noise._replace(pixels=pixels), MOST_STEPS)

    def _fitted(self, start: Parameters, images: Any, noise: Noise, most: int) -> Parameters:
        layout, data = self._solver.layout, self._data
        noisy = [_weighted_noise(o, image) for o, image in zip(self._observations, images, strict=True)]
        here = as_numpy(start)
        loss = self._seen(here, noisy)
        for _ in range(most):
            plain = compiled_linearized(layout, data, here)
            step, tilt = compiled_perturbed(layout, data, here, plain, images, noise)
            direction, promise = self._solver.solve(data, here, step)
            if not np.isfinite(promise):
                break
            direction, tilt, lower, upper = map(as_numpy, (direction, tilt, step.lower, step.upper))
            for fraction in FRACTIONS:
                there = _moved(here, direction, fraction, lower, upper)
                loss_there = self._seen(there, noisy)
                # priors are nearly quadratic: their noise acts along the step as it does where it began
                if loss_there + _dot(tilt, there) - _dot(tilt, here) < loss:
                    here, loss = there, loss_there
                    break
            else:
                break
            if promise < QUIET:
                break
        return here

    def _seen(self, parameters: Parameters, noisy: list[np.ndarray]) -> float:
        """Return the loss for perturbed data, but for a constant and for the noise of priors."""
        trial = compiled_seen(self._solver.layout, self._data, parameters)
        models = (np.asarray(model, np.float64) for model in trial.models)
        return float(trial.loss) + sum(float(np.vdot(n, m)) for n, m in zip(noisy, models, strict=True))


def _moved(
    here: Parameters, direction: Parameters, fraction: float, lower: Parameters, upper: Parameters
) -> Parameters:
    def moved(u: Any, d: Any, lo: Any, hi: Any) -> Any:
        return np.clip(u + np.asarray(fraction, u.dtype) * d, lo, hi)

    result: Parameters = jax.tree.map(moved, here, direction, lower, upper)
    return result


def _dot(a: Parameters, b: Parameters) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum(float(np.vdot(x.astype(np.float64), y)) for x, y in pairs)


def _on_host(data: ObservationData) -> ObservationData:
    """Return weights and whitening as NumPy arrays."""
    whitening = None if data.whitening is None else np.asarray(data.whitening)
    return data._replace(weights=np.asarray(data.weights), whitening=whitening)


def _weighted_noise(data: ObservationData, image: np.ndarray) -> np.ndarray:
    """Return W n for noise n of covariance W⁻¹, made of unit noise, as `deblend.program.noise.weighted_noise` does."""
    if data.whitening is None:
        return np.asarray(np.sqrt(data.weights) * image)
    return np.asarray(whiten_adjoint(data.whitening, image, np))


def _without_negative_light(drawn: np.ndarray) -> np.ndarray:
    """Return unit noise of the pictures of a group with none for its negative light, which is a bound."""
    return np.concatenate([drawn[:1], np.zeros_like(drawn[1:2]), drawn[2:]])

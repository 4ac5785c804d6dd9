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
from deblend.infer.solvers import KEPT, STEP_FRACTIONS, as_numpy, compiled_linearized, compiled_seen
from deblend.infer.trial import Trial, tried_restless
from deblend.observe.whitening import whiten_adjoint
from deblend.program import Program
from deblend.program.arrays import ObservationData, Parameters, ProblemData
from deblend.program.compiled import compiled
from deblend.program.layout import Layout
from deblend.program.penalty import Noise, is_free_form, noise_response
from deblend.program.ties import tied

MOST_STEPS, MOST_FIRST_STEPS = 40, 40
"""Of one draw, and to the fit's own minimum, where it was not quite reached."""
QUIET = 0.02
"""A step that lowers ½ χ² by less than this moves no number by more than a fifth of its error, and is the last."""
RESOLUTION = 3e-6
"""Of the loss: a smaller fall is lost in single precision."""
FIRST_CAUTION, MOST_CAUTION, LEAST_CAUTION, EASED = 1.0, 1e5, 0.1, 0.3
"""Weight of the belief that shape parameters stay there, once a plain step has failed; tenfold per
failure, and less again per step that keeps its promise."""


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
compiled_tried_restless = compiled(tried_restless)


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
        self.mode, self.has_settled = self._fitted(parameters, images, noise, MOST_FIRST_STEPS)
        """The parameters of the unperturbed minimum, and whether it was reached."""

    def draw(self, rng: np.random.Generator) -> tuple[Parameters, bool]:
        """Return the parameters that fit perturbed data best, and whether that minimum was reached."""
        images, noise = unit_noise(self._data, self.mode, rng, self._dtype)
        pixels = tuple(
            None if drawn is None else drawn if is_free_form(group) else _without_negative_light(drawn)
            for group, drawn in zip(self._solver.layout.groups, noise.pixels, strict=True)
        )
        return self._fitted(self.mode, images, noise._replace(pixels=pixels), MOST_STEPS)

    def _fitted(self, start: Parameters, images: Any, noise: Noise, most: int) -> tuple[Parameters, bool]:
        layout, data = self._solver.layout, self._data
        noisy = [_weighted_noise(o, image) for o, image in zip(self._observations, images, strict=True)]
        here, caution, is_new = as_numpy(start), 0.0, True
        loss = self._seen(here, noisy)
        for _ in range(most):
            if is_new:
                plain = compiled_linearized(layout, data, here)
                step, tilt = compiled_perturbed(layout, data, here, plain, images, noise)
                slope = as_numpy(tilt)
            found, promise = self._solver.solve(data, here, step, caution)
            enough = max(QUIET, RESOLUTION * abs(loss))
            if promise < enough and caution <= FIRST_CAUTION:
                return here, True
            best: tuple[Parameters, float] | None = None
            deepest = 0.0
            for fraction in STEP_FRACTIONS:
                there, loss_there = self._tried(here, found, fraction, step, noisy)
                # priors are nearly quadratic: their noise acts along the step as it does where it began
                fall = loss - loss_there - _dot(slope, there) + _dot(slope, here)
                if best is not None and not fall > deepest:
                    break
                if fall > deepest:
                    best, deepest = (there, loss_there), fall
                    if fall > KEPT * promise:
                        break
            is_new = best is not None
            if best is not None:
                here, loss = best
                if deepest > KEPT * promise:
                    caution = EASED * caution if caution > LEAST_CAUTION else 0.0
                else:
                    caution = min(max(10.0 * caution, FIRST_CAUTION), MOST_CAUTION)
            elif caution >= MOST_CAUTION or not np.isfinite(promise):
                return here, False
            else:
                caution = max(10.0 * caution, FIRST_CAUTION)
        return here, False

    def _tried(
        self, here: Parameters, direction: Parameters, fraction: float, step: Step, noisy: list[np.ndarray]
    ) -> tuple[Parameters, float]:
        """Return a fraction of a step, with corrections that lead to the picture that it promised, and its loss."""
        numbers = np.asarray(fraction, self._dtype), np.ones((), self._dtype)
        trial = compiled_tried_restless(
            self._solver.layout, self._data, here, direction, *numbers, step.lower, step.upper, step.lines
        )
        return as_numpy(trial.parameters), self._loss(trial, noisy)

    def _seen(self, parameters: Parameters, noisy: list[np.ndarray]) -> float:
        """Return the loss for perturbed data, but for a constant and for the noise of priors."""
        return self._loss(compiled_seen(self._solver.layout, self._data, parameters), noisy)

    def _loss(self, trial: Trial, noisy: list[np.ndarray]) -> float:
        models = (np.asarray(model, np.float64) for model in trial.models)
        return float(trial.loss) + sum(float(np.vdot(n, m)) for n, m in zip(noisy, models, strict=True))


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

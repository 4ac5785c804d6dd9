"""Losses of a person's own: any function of what telescopes see of a scene, differentiated by JAX.

The function is compiled apart from the program. It gives slopes on the models, and the transpose of the program's own
derivative takes these to all that is free, so that priors, bounds, ties and constraints act as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.infer.gauss_newton import Step
from deblend.infer.trial import data_loss
from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.calibration import calibrated
from deblend.program.compiled import compiled
from deblend.program.layout import Layout
from deblend.program.noise import weighted
from deblend.program.observation_layout import framed
from deblend.program.operator import apply_adjoint
from deblend.program.ties import tied

Loss = Callable[[tuple[Float[Array, "band y x"], ...]], Float[Array, ""]]
"""From the model of every observation [nJy/pix], in `jax.numpy`, to a pure number; a function or an equinox.Module."""


def own_gradient(
    layout: Layout, data: ProblemData, parameters: Parameters, step: Step, models: Any, slopes: Any, data_share: Any
) -> Parameters:
    """Return the gradient with the slopes of a further loss on the models, and with this share of that of χ²."""
    residuals = weighted(data, [m - o.images for o, m in zip(data.observations, models, strict=True)])
    images = tuple(slope + (data_share - 1.0) * r for slope, r in zip(slopes, residuals, strict=True))
    seen = calibrated(layout, data, parameters)
    added = apply_adjoint(layout, seen, parameters, step.lines, images, (None,) * len(step.lines), step.tangents)
    gradient: Parameters = jax.tree.map(jnp.add, step.gradient, tied(data, added))
    return gradient


def misfit(layout: Layout, data: ProblemData, models: Any) -> Float[Array, ""]:
    """Return ½ χ² of models."""
    return data_loss(data, models)


compiled_own_gradient = compiled(own_gradient)
compiled_misfit = compiled(misfit)


class OwnLoss:
    """A loss of a person's own, for the images of a program."""

    def __init__(self, program: Program, loss: Loss, replaces_data: bool = False) -> None:
        """`replaces_data` tells whether it stands for ½ χ², or is added to it."""
        self._program = program
        self._data_share = 0.0 if replaces_data else 1.0
        self._value_and_slope = jax.jit(jax.value_and_grad(lambda models: _checked(loss(models))))

    def __call__(self, loss: float, models: Sequence[Any]) -> float:
        """Return the loss of a position, from what it would be with χ² alone."""
        own = float(self._value_and_slope(self._in_units(models))[0])
        if self._data_share == 0.0:
            loss -= float(compiled_misfit(self._program.layout, self._program.data, tuple(models)))
        return loss + own

    def gradient(self, data: ProblemData, parameters: Any, step: Step, models: Sequence[Any]) -> Parameters:
        """Return the gradient at a position with these models."""
        _, slopes = self._value_and_slope(self._in_units(models))
        # by models in units of the noise
        scaled = tuple(
            framed(np.asarray(s) * n[:, None, None], m.shape[1:])
            for s, n, m in zip(slopes, self._noise, models, strict=True)
        )
        share = np.asarray(self._data_share, self._program.dtype)
        args = self._program.layout, data, parameters, step, tuple(models), scaled, share
        result: Parameters = compiled_own_gradient(*args)
        return result

    @property
    def _noise(self) -> list[Float[np.ndarray, " band"]]:
        return self._program.noise_per_observation

    def _in_units(self, models: Sequence[Any]) -> tuple[np.ndarray, ...]:
        return tuple(self._program.seen(models))


def _checked(value: Any) -> Any:
    if jnp.shape(value) != ():
        raise ValueError(f"A loss of your own returns one number; got an array of shape {jnp.shape(value)}.")
    return value

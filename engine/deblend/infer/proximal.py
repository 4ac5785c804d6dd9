"""Proximal gradient: the first-order reference.

Each source takes a step of its own size, one over a bound of its curvature (block Lipschitz constants, as in block
proximal gradient methods: Xu & Yin 2013), and is projected onto its bounds; momentum after Nesterov, restarted where the
loss rises (O'Donoghue & Candès 2015).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from deblend.infer.gauss_newton import (
    SolverState,
    Step,
    data_loss,
    evaluated,
    make_preconditioner,
    precondition,
    prepare,
    settled,
)
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.layout import Layout
from deblend.program.operator import render
from deblend.program.penalty import lag, penalty

SAFETY = 0.5
"""Fraction of a block's own step: leaves room for its coupling to overlapping blocks."""


def projected_step(
    layout: Layout, data: ProblemData, parameters: Parameters, step: Step, scale: Any
) -> Parameters:
    """Return the parameters after one step down the gradient, each block at its own pace."""
    damping = jnp.asarray(1e-2, scale.dtype)
    blocks = make_preconditioner(layout, data, parameters, step, damping)
    down = precondition(blocks, step.free, damping, jax.tree.map(jnp.negative, step.gradient))
    moved = jax.tree.map(
        lambda u, p, lo, hi: jnp.clip(u + scale * p, lo, hi), parameters, down, step.lower, step.upper
    )
    return settled(layout, data, moved)


def proximal_steps(layout: Layout, data: ProblemData, parameters: Parameters, n_steps: Any) -> SolverState:
    """Return the state after `n_steps` accelerated steps; with none, the scene is only evaluated."""
    dtype = data.psf_variance.dtype
    start = evaluated(layout, data, parameters, jnp.zeros((), dtype))

    def loss_of(trial: Parameters) -> tuple[Any, Any]:
        models = render(layout, data, trial)
        return data_loss(data, models) + penalty(layout, data, trial, lag(layout, trial)), models

    def body(_: Any, carry: Any) -> Any:
        state, ahead, t, scale = carry
        step, _ = prepare(layout, data, ahead)
        trial = projected_step(layout, data, ahead, step, scale)
        loss, models = loss_of(trial)
        is_better = loss < state.loss
        t_next = 0.5 * (1.0 + jnp.sqrt(1.0 + 4.0 * t**2))
        momentum = (t - 1.0) / t_next
        chosen = jax.tree.map(lambda a, b: jnp.where(is_better, a, b), trial, state.parameters)
        further = jax.tree.map(lambda a, b: a + jnp.where(is_better, momentum, 0.0) * (a - b), chosen, state.parameters)
        further = settled(layout, data, _clipped(further, step))
        new = SolverState(
            chosen,
            state.damping,
            jnp.where(is_better, loss, state.loss),
            jax.tree.map(lambda a, b: jnp.where(is_better, a, b), models, state.models),
            jnp.where(is_better, scale, 0.0),
            state.predicted,
        )
        # a step that failed without momentum was too long
        was_plain = t == 1.0
        scale = jnp.where(is_better, jnp.minimum(scale * 1.1, 1.0), jnp.where(was_plain, 0.5 * scale, scale))
        return new, further, jnp.where(is_better, t_next, 1.0), scale

    one = jnp.ones((), dtype)
    result, *_ = lax.fori_loop(0, n_steps, body, (start, start.parameters, one, SAFETY * one))
    return result


def _clipped(parameters: Parameters, step: Step) -> Parameters:
    return jax.tree.map(jnp.clip, parameters, step.lower, step.upper)

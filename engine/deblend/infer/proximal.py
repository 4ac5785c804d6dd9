"""First-order directions: the reference that second-order steps are compared with.

Each source goes down its own gradient with a step of its own size, one over its own curvature (block Lipschitz
constants, as in block proximal gradient methods: Xu & Yin 2013); bounds are kept by projection.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deblend.infer.gauss_newton import Step
from deblend.infer.preconditioner import make_preconditioner, precondition
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.layout import Layout
from deblend.program.ties import tied

DAMPING = 1e-2


def gradient_direction(layout: Layout, data: ProblemData, parameters: Parameters, step: Step) -> Parameters:
    """Return the way down the gradient, each block at its own pace; sources couple through the residual only."""
    damping = jnp.asarray(DAMPING, data.psf_variance.dtype)
    blocks = make_preconditioner(
        layout, data, parameters, step.lines, step.lags, step.free, step.tangents, damping, jnp.ones_like(damping)
    )
    blocks = blocks._replace(coarse=None)
    return tied(data, precondition(blocks, step.free, jax.tree.map(jnp.negative, step.gradient)))

"""Proximal operators that have no formula, by their dual problem.

For a convex penalty g behind a linear map L, min_x ½ |x − s|² + g(L x) is solved by x = s − Lᵀ u, where u minimizes
½ |s − Lᵀ u|² + g*(u); for a norm or a cone the conjugate g* is a simple set, and u is found by projected gradients,
accelerated (Beck & Teboulle 2009, SIAM J. Imaging Sci. 2, 183) and begun anew where the momentum points uphill
(O'Donoghue & Candès 2015, Found. Comput. Math. 15, 715), which makes convergence linear.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

ROUNDINGS = 10.0
"""Sweeps end where no entry of L x is off by more than that many roundings of the brightest pixel."""


def dual_proximal(
    picture: Float[Array, "side side"],
    transform: Callable[[Float[Array, "side side"]], Float[Array, "..."]],
    adjoint: Callable[[Float[Array, "..."]], Float[Array, "side side"]],
    project: Callable[[Float[Array, "..."]], Float[Array, "..."]],
    curvature: Float[Array, "..."] | float,
    sweeps: Int[Array, ""] | int,
) -> Float[Array, "side side"]:
    """Return argmin_x ½ |x − picture|² + g(L x).

    Parameters
    ----------
    transform, adjoint
        L and Lᵀ.
    project
        The projection onto the set of dual variables u: where g* is 0.
    curvature
        An upper bound of L Lᵀ: a number, or a diagonal, with an entry for each of u, if `project` takes each by itself.
    sweeps
        How many at most; fewer where it has converged to rounding.
    """
    tolerance = ROUNDINGS * jnp.finfo(picture.dtype).eps * jnp.max(jnp.abs(picture))
    step = jnp.asarray(1.0 / curvature, picture.dtype)

    def goes_on(carry):  # type: ignore[no-untyped-def]
        sweep, _, _, _, change = carry
        return (sweep < sweeps) & (change > tolerance)

    def sweep_once(carry):  # type: ignore[no-untyped-def]
        sweep, dual, ahead, momentum, _ = carry
        new = project(ahead + step * transform(picture - adjoint(ahead)))
        momentum = jnp.where(jnp.sum((ahead - new) * (new - dual) / step) > 0, jnp.ones_like(momentum), momentum)
        following = 0.5 * (1.0 + jnp.sqrt(1.0 + 4.0 * momentum**2))
        further = new + (momentum - 1.0) / following * (new - dual)
        # the residual of the optimality condition, in the unit of the picture
        return sweep + 1, new, further, following, jnp.max(jnp.abs(new - ahead) / step)

    start = jnp.zeros_like(transform(picture))
    first = (jnp.zeros((), jnp.int32), start, start, jnp.ones((), picture.dtype), jnp.full((), jnp.inf, picture.dtype))
    return picture - adjoint(lax.while_loop(goes_on, sweep_once, first)[1])

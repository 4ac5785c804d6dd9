"""Preconditioned conjugate gradients on parameters, or on any tree of arrays (Hestenes & Stiefel 1952)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


def dot(a: Any, b: Any) -> Float[Array, ""]:
    """Return Σ a b over all numbers."""
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return jnp.asarray(sum(jax.tree.leaves(products)))


def conjugate_gradients(
    product: Callable[[Tree], Tree],
    inverse: Callable[[Tree], Tree],
    right: Tree,
    tolerance: Any,
    budget: Any,
) -> tuple[Tree, Float[Array, ""]]:
    """Solve a positive normal system, preconditioned; return the solution and the fall of its quadratic function.

    Ends when the residual, in the metric of the preconditioner, has fallen to `tolerance` of where it started, or
    after `budget` products.
    """
    z = inverse(right)
    first = dot(right, z)
    start = (jnp.zeros((), int), jax.tree.map(jnp.zeros_like, right), right, z, first)

    def going(carry: Any) -> Any:
        k, _, _, _, rz = carry
        return (k < budget) & (rz > tolerance**2 * first)

    def body(carry: Any) -> Any:
        k, x, r, p, rz = carry
        a_p = product(p)
        curvature = dot(p, a_p)
        alpha = jnp.where(curvature > 0, rz / curvature, 0.0)
        x = jax.tree.map(lambda a, b: a + alpha * b, x, p)
        r = jax.tree.map(lambda a, b: a - alpha * b, r, a_p)
        z = inverse(r)
        rz_next = dot(r, z)
        p = jax.tree.map(lambda a, b: a + rz_next / rz * b, z, p)
        return k + 1, x, r, p, jnp.where(curvature > 0, rz_next, 0.0)

    _, x, r, _, _ = lax.while_loop(going, body, start)
    # from zero the function falls by ½ xᵀ (b + r)
    return x, 0.5 * dot(x, jax.tree.map(jnp.add, right, r))

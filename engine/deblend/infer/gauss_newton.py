"""Projected Gauss-Newton: the default solver.

The model is bilinear in spectra and morphologies and the loss a sum of squares, so each step solves the normal
equations of the linearized model, matrix-free, by conjugate gradients under a block preconditioner, on the parameters
that are not at a bound they would cross (Bertsekas 1982, projected Newton), damped (Levenberg-Marquardt) and followed
by a short line search along the projection. Priors and soft constraints are residuals like the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import GroupParameters, Parameters, ProblemData
from deblend.program.layout import Layout
from deblend.program.operator import (
    Canvas,
    Linearization,
    apply_adjoint,
    apply_jacobian,
    linearize,
    over_slots,
    pictures_of,
    render,
)
from deblend.program.penalty import (
    Lag,
    free_form_bound,
    is_free_form,
    lag,
    penalty,
    penalty_diagonal,
    penalty_gradient,
    penalty_product,
    pixel_mask,
)
from deblend.render import KINDS

LEAST_FLUX_FRACTION = 0.25
"""A free-form source keeps at least this fraction of its flux in a step: at zero flux it could not come back."""


class Preconditioner(NamedTuple):
    """About the inverse of a group's normal matrix."""

    block: Float[Array, "slot n n"]
    """Inverse for shape parameters and fluxes of each slot, which are few."""
    damping: Float[Array, "slot n"]
    """What is added to the diagonal of that part: a fraction of it, and how far a step may be trusted."""
    pixels: Float[Array, "slot side side"] | None
    """Diagonal of the normal matrix for pixels."""
    share: Float[Array, "slot side side"] | None
    """How much of that diagonal the data make, the rest being priors."""
    response: Float[Array, "slot side f"] | None
    """How the data see waves of that part, relative to a single pixel, with a floor for what only priors hold."""


class Step(NamedTuple):
    """A linearized problem: all that a step, or an error estimate, needs."""

    lines: tuple[Linearization, ...]
    lags: tuple[Lag | None, ...]
    free: Parameters
    lower: Parameters
    upper: Parameters
    gradient: Parameters


class Trial(NamedTuple):
    """A scene that was tried."""

    parameters: Parameters
    loss: Float[Array, ""]
    """½ χ² plus penalties."""
    models: tuple[Canvas, ...]
    """Model of every observation, in units of the noise."""


def dot(a: Parameters, b: Parameters) -> Float[Array, ""]:
    """Return Σ a b over all parameters."""
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return jnp.asarray(sum(jax.tree.leaves(products)))


def data_loss(data: ProblemData, models: tuple[Canvas, ...]) -> Float[Array, ""]:
    """Return ½ Σ w (model - image)²."""
    return 0.5 * sum(
        (jnp.sum(o.weights * (m - o.images) ** 2) for o, m in zip(data.observations, models, strict=True)),
        start=jnp.zeros((), data.psf_variance.dtype),
    )


def linearized(layout: Layout, data: ProblemData, parameters: Parameters) -> Step:
    """Return the problem linearized at `parameters`."""
    lines = linearize(layout, data, parameters)
    lags = lag(parameters)
    models = render(layout, data, parameters, tuple(line.picture for line in lines))
    residuals = tuple(o.weights * (m - o.images) for o, m in zip(data.observations, models, strict=True))
    gradient = jax.tree.map(
        jnp.add,
        apply_adjoint(layout, data, parameters, lines, residuals),
        penalty_gradient(layout, data, parameters, lags, lines),
    )
    lower, upper, movable = [], [], []
    for group, d, p in zip(layout.groups, data.groups, parameters, strict=True):
        used = (jnp.arange(group.capacity) < d.count).astype(p.theta.dtype)
        pixels: tuple[Any, Any, Any] = (None, None, None)
        if p.pixels is not None:
            bound = free_form_bound(d, p.pixels) if is_free_form(group) else jnp.full_like(p.pixels, -jnp.inf)
            free_pixels = pixel_mask(group, d, p.theta.dtype) * used[:, None, None]
            pixels = (bound, jnp.full_like(p.pixels, jnp.inf), free_pixels)
        flux_lower = d.flux_lower
        if is_free_form(group):
            flux_lower = jnp.maximum(flux_lower, LEAST_FLUX_FRACTION * p.flux)
        lower.append(GroupParameters(d.theta_lower, flux_lower, pixels[0]))
        upper.append(GroupParameters(d.theta_upper, d.flux_upper, pixels[1]))
        movable.append(GroupParameters(d.theta_free * used[:, None], d.flux_free * used[:, None], pixels[2]))
    free = jax.tree.map(
        lambda m, u, lo, hi, g: m * ~(((u <= lo) & (g > 0)) | ((u >= hi) & (g < 0))),
        tuple(movable),
        parameters,
        tuple(lower),
        tuple(upper),
        gradient,
    )
    return Step(lines, lags, free, tuple(lower), tuple(upper), gradient)


def normal_product(layout: Layout, data: ProblemData, parameters: Parameters, step: Step, v: Parameters) -> Parameters:
    """Return (Jᵀ W J + penalties) v."""
    change = apply_jacobian(layout, data, parameters, step.lines, v)
    weighted = tuple(o.weights * c for o, c in zip(data.observations, change, strict=True))
    return jax.tree.map(
        jnp.add,
        apply_adjoint(layout, data, parameters, step.lines, weighted),
        penalty_product(layout, data, parameters, step.lags, step.lines, v),
    )


def make_preconditioner(
    layout: Layout, data: ProblemData, parameters: Parameters, step: Step, damping: Any, caution: Any
) -> tuple[Preconditioner, ...]:
    """Return about the inverse of the damped normal matrix, a block per source.

    Within a source the response of the telescope is taken into account in Fourier space, as if the weights were
    constant over it; overlap with neighbours is left to the conjugate gradients.
    """
    result = []
    for index, (group, d, p, line, weights, free) in enumerate(
        zip(layout.groups, data.groups, parameters, step.lines, step.lags, step.free, strict=True)
    ):
        power = jnp.concatenate([o.power[index] for o in data.observations])
        energy = jnp.concatenate([o.kernel_energy for o in data.observations])
        side, n_theta = group.side, p.theta.shape[1]
        # a real transform holds each frequency but the first (and, for even sides, the last) once for two
        twice = jnp.where(jnp.arange(side // 2 + 1) == 0, 1.0, 2.0).astype(p.theta.dtype) / side**2
        n = n_theta + p.flux.shape[1]
        trust = jnp.asarray(KINDS[group.kind].trust, p.theta.dtype)
        held = jnp.concatenate([caution * trust**-2.0, jnp.zeros(p.flux.shape[1], p.theta.dtype)])

        def block(slot: Any, carry: Any, p: Any = p, line: Any = line, free: Any = free, d: Any = d, power: Any = power,
                  held: Any = held, twice: Any = twice, n_theta: int = n_theta, n: int = n) -> Any:  # fmt: skip
            flux = p.flux[slot]
            waves = jnp.fft.rfft2(jnp.concatenate([line.tangents[slot], line.picture[slot][None]]))
            parts = jnp.stack([waves.real, waves.imag], axis=1)
            channel_power = power * twice[None, None]
            mixed = jnp.tensordot(flux**2, channel_power, axes=1)
            shapes = parts[:n_theta].reshape(n_theta, -1)
            response = (parts[:n_theta] * mixed[None, None]).reshape(n_theta, -1)
            picture = parts[n_theta]
            per_channel = channel_power[:, None] * picture[None]
            cross = flux[:, None] * (per_channel.reshape(flux.size, -1) @ shapes.T)
            fluxes = jnp.sum(per_channel * picture[None], axis=(1, 2, 3))
            matrix = jnp.block([[response @ shapes.T, cross.T], [cross, jnp.diag(fluxes)]])
            prior = jnp.concatenate([d.theta_precision[slot] ** 2, jnp.zeros_like(flux)])
            diagonal = jnp.diagonal(matrix) + prior
            diagonal = jnp.where(diagonal > 0, diagonal, 1.0)
            is_free = jnp.concatenate([free.theta[slot], free.flux[slot]])
            root = jnp.sqrt(diagonal)
            scaled = (matrix + jnp.diag(prior)) / root[None] / root[:, None]
            scaled = scaled * is_free[None] * is_free[:, None] + jnp.diag(1.0 - is_free)
            extra = damping * diagonal + held
            scaled = scaled + jnp.diag(extra / diagonal + 1e-5)
            inverse = jnp.linalg.inv(scaled) / root[None] / root[:, None]
            inverse = 0.5 * (inverse + inverse.T)
            blocks, scales, waves_seen = carry
            if waves_seen is not None:
                waves_seen = waves_seen.at[slot].set(jnp.tensordot(flux**2, power, axes=1))
            return blocks.at[slot].set(inverse), scales.at[slot].set(extra), waves_seen

        has_pixels = line.envelope is not None
        initial = (
            jnp.zeros((group.capacity, n, n), p.theta.dtype),
            jnp.ones((group.capacity, n), p.theta.dtype),
            jnp.zeros((group.capacity, side, side // 2 + 1), p.theta.dtype) if has_pixels else None,
        )
        blocks, scales, waves_seen = over_slots(d.count, block, initial)
        pixels = share = response = None
        if line.envelope is not None:
            curvature = jnp.sum(p.flux**2 * energy[None], axis=1)[:, None, None]
            pixels = curvature * line.envelope**2 + penalty_diagonal(d, weights, line) + 1e-12
            share = curvature * line.envelope**2 / pixels
            held = jnp.sum(share * (1.0 - share), axis=(1, 2)) / (jnp.sum(share, axis=(1, 2)) + 1e-12)
            response = waves_seen / (curvature + 1e-12) + jnp.maximum(held, 1e-3)[:, None, None] + damping
        result.append(Preconditioner(blocks, scales, pixels, share, response))
    return tuple(result)


def precondition(
    layout: Layout,
    data: ProblemData,
    preconditioners: tuple[Preconditioner, ...],
    free: Parameters,
    damping: Any,
    r: Parameters,
) -> Parameters:
    """Return about the solution of the damped normal equations for the right side r.

    Pixels that the data hold are coupled by the telescope's response: scaled by their diagonal they are nearly a
    convolution, which is undone in Fourier space. Pixels that only priors hold stand alone.
    """
    result = []
    for group, d, c, x in zip(layout.groups, data.groups, preconditioners, r, strict=True):
        n_theta = x.theta.shape[1]
        both = jnp.einsum("kij,kj->ki", c.block, jnp.concatenate([x.theta, x.flux], axis=1))
        pixels = None
        if x.pixels is not None:

            def body(slot: Any, carry: Any, group: Any = group, c: Any = c, x: Any = x) -> Any:
                root = jax.lax.rsqrt(c.pixels[slot])
                scaled, share = x.pixels[slot] * root, c.share[slot]
                edge = jnp.sqrt(share)
                waves = jnp.fft.rfft2(scaled * edge) / c.response[slot]
                seen = jnp.fft.irfft2(waves, s=(group.side, group.side)) * edge
                return carry.at[slot].set((seen + (1.0 - share) * scaled) * root)

            pixels = over_slots(d.count, body, x.pixels)
        result.append(GroupParameters(both[:, :n_theta], both[:, n_theta:], pixels))
    return jax.tree.map(jnp.multiply, tuple(result), free)


def damping_product(preconditioners: tuple[Preconditioner, ...], damping: Any, v: Parameters) -> Parameters:
    """Return damping times the diagonal of the normal matrix times v."""
    result = []
    for c, x in zip(preconditioners, v, strict=True):
        n_theta = x.theta.shape[1]
        pixels = None if x.pixels is None else damping * c.pixels * x.pixels
        result.append(GroupParameters(c.damping[:, :n_theta] * x.theta, c.damping[:, n_theta:] * x.flux, pixels))
    return tuple(result)


def conjugate_gradients(
    product: Callable[[Parameters], Parameters],
    inverse: Callable[[Parameters], Parameters],
    right: Parameters,
    tolerance: Any,
    budget: Any,
) -> tuple[Parameters, Float[Array, ""]]:
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


def newton_direction(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    step: Step,
    damping: Any,
    caution: Any,
    tolerance: Any,
    budget: Any,
) -> tuple[Parameters, Float[Array, ""]]:
    """Return about the minimum of the damped quadratic model over the free parameters, and the fall it promises.

    `damping` is relative to the diagonal of the normal matrix. `caution` is the weight of the belief that shape
    parameters stay where the linearization can be trusted; 0 solves the plain problem.
    """
    preconditioners = make_preconditioner(layout, data, parameters, step, damping, caution)

    def masked(v: Parameters) -> Parameters:
        return jax.tree.map(jnp.multiply, step.free, v)

    def product(v: Parameters) -> Parameters:
        undamped = normal_product(layout, data, parameters, step, v)
        return masked(jax.tree.map(jnp.add, undamped, damping_product(preconditioners, damping, v)))

    def inverse(v: Parameters) -> Parameters:
        return precondition(layout, data, preconditioners, step.free, damping, v)

    right = masked(jax.tree.map(jnp.negative, step.gradient))
    return conjugate_gradients(product, inverse, right, tolerance, budget)


def settled(layout: Layout, data: ProblemData, parameters: Parameters) -> Parameters:
    """Return the same scene where it is best to stand: what the data cannot see goes to where the prior is.

    The sum of a profile's amplitudes cancels in its picture; it becomes the one that their prior likes best.
    """
    result = []
    for group, d, p in zip(layout.groups, data.groups, parameters, strict=True):
        n_amplitudes = dict(KINDS[group.kind].parameters).get("amplitudes", 0)
        if n_amplitudes:
            place = slice(2, 2 + n_amplitudes)
            off = jnp.mean(d.theta_mean[:, place] - p.theta[:, place], axis=1, keepdims=True)
            p = p._replace(theta=p.theta.at[:, place].add(off * d.theta_free[:, place]))
        result.append(p)
    return tuple(result)


def tried(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    direction: Parameters,
    fraction: Any,
    lower: Parameters,
    upper: Parameters,
) -> Trial:
    """Return the scene a fraction along a direction, within its bounds."""
    moved = jax.tree.map(lambda u, p, lo, hi: jnp.clip(u + fraction * p, lo, hi), parameters, direction, lower, upper)
    return evaluated(layout, data, settled(layout, data, moved))


def evaluated(layout: Layout, data: ProblemData, parameters: Parameters) -> Trial:
    """Return a scene with its loss and models."""
    pictures = pictures_of(layout, data, parameters)
    models = render(layout, data, parameters, pictures)
    loss = data_loss(data, models) + penalty(layout, data, parameters, lag(parameters), pictures)
    return Trial(parameters, loss, models)

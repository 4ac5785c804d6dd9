"""Projected Gauss-Newton: the default solver.

The model is bilinear in spectra and morphologies and the loss a sum of squares, so each step solves the normal
equations of the linearized model, matrix-free, by conjugate gradients under a block preconditioner, on the parameters
that are not at a bound they would cross (Bertsekas 1982, projected Newton), damped (Levenberg-Marquardt) and followed
by a short line search along the projection. Priors and soft constraints are residuals like the data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.infer.one_sided import Light, one_sided_gradients
from deblend.infer.preconditioner import (
    Preconditioners,
    damping_product,
    make_preconditioner,
    precondition,
)
from deblend.infer.trial import data_loss
from deblend.program.arrays import GroupParameters, Parameters, ProblemData
from deblend.program.calibration import (
    Tangents,
    calibrated,
    calibration_tangents,
    with_background,
)
from deblend.program.convolution import observe
from deblend.program.full_scene_layer import full_scene_bounds
from deblend.program.layout import Layout
from deblend.program.noise import weighted
from deblend.program.operator import Canvas, apply_adjoint, apply_jacobian, sky_of
from deblend.program.penalty import (
    Lag,
    free_form_bound,
    is_free_form,
    lag,
    light_prices,
    negative_weights,
    penalty,
    penalty_gradient,
    penalty_product,
    pixel_mask,
)
from deblend.program.pictures import Linearization, Pictures, linearize, picture_changes
from deblend.program.splitting import pull_products, pulls, with_flux, with_light
from deblend.program.star_layer import star_bounds
from deblend.program.ties import tied

MAX_ASPECT = 0.5
"""How far a channel may see a source off its center, per axis [pix], or tilted: further, neither is what it says."""
LEAST_FLUX_FRACTION = 0.25
"""A free-form source keeps at least this fraction of its flux in a step: at zero flux it could not come back."""


class Step(NamedTuple):
    """A linearized problem: all that a step, or an error estimate, needs."""

    lines: tuple[Linearization, ...]
    lags: tuple[Lag | None, ...]
    free: Parameters
    lower: Parameters
    upper: Parameters
    gradient: Parameters
    tangents: Tangents | None = None
    """How the models change with how the images are off; None where that is not asked for."""


class Slope(NamedTuple):
    """What a point looks like to first order."""

    lines: tuple[Linearization, ...]
    models: tuple[Canvas, ...]
    """Of every observation, in units of the noise."""
    gradient: Parameters
    tangents: Tangents | None


def slope_at(layout: Layout, data: ProblemData, parameters: Parameters, lags: tuple[Lag | None, ...]) -> Slope:
    """Return the gradient at `parameters` for frozen weights of soft constraints, and what it is made of."""
    lines = linearize(layout, data, parameters)
    sky = sky_of(layout, data, parameters, tuple(line.picture for line in lines))
    seen = calibrated(layout, data, parameters)
    models = with_background(layout, data, parameters, observe(layout, seen, sky))
    tangents = calibration_tangents(layout, seen, parameters, sky)
    residuals = weighted(data, [m - o.images for o, m in zip(data.observations, models, strict=True)])
    negative = negative_weights(layout, data, lags, lines)
    lights = tuple(None if w is None else w**2 * line.picture for w, line in zip(negative, lines, strict=True))
    tethers = pulls(data, parameters, lines)
    lights = with_light(lights, tethers)
    gradient = jax.tree.map(
        jnp.add,
        apply_adjoint(layout, seen, parameters, lines, residuals, lights, tangents),
        penalty_gradient(layout, data, parameters, lags),
    )
    return Slope(lines, models, tied(data, with_flux(gradient, tethers)), tangents)


def value_and_gradient(
    layout: Layout, data: ProblemData, parameters: Parameters, anchor: Parameters
) -> tuple[Float[Array, ""], Parameters]:
    """Return the loss and its gradient, with the weights of soft constraints frozen as they are at `anchor`."""
    lags = lag(anchor)
    slope = slope_at(layout, data, parameters, lags)
    pictures = tuple(line.picture for line in slope.lines)
    loss = data_loss(data, slope.models) + penalty(layout, data, parameters, lags, pictures)
    return loss, slope.gradient


class Range(NamedTuple):
    """Where parameters may go from a point."""

    movable: Parameters
    """1 for what is free, at a bound or not."""
    lower: Parameters
    upper: Parameters


def range_at(layout: Layout, data: ProblemData, parameters: Parameters) -> Range:
    """Return which parameters are free, and their bounds."""
    lower, upper, movable = [], [], []
    for group, d, p in zip(layout.groups, data.groups, parameters.groups, strict=True):
        used = (jnp.arange(group.capacity) < d.count).astype(p.theta.dtype)
        pixels: tuple[Any, Any, Any] = (None, None, None)
        if p.pixels is not None:
            bound = free_form_bound(d, p.pixels) if is_free_form(group) else jnp.full_like(p.pixels, -jnp.inf)
            free_pixels = pixel_mask(group, d, p.theta.dtype) * used[:, None, None]
            pixels = (bound, jnp.full_like(p.pixels, jnp.inf), free_pixels)
        flux_lower = d.flux_lower
        if is_free_form(group) and not group.is_absorbing:
            flux_lower = jnp.maximum(flux_lower, LEAST_FLUX_FRACTION * p.flux)
        furthest = jnp.full_like(p.aspect, MAX_ASPECT)
        lower.append(GroupParameters(d.theta_lower, flux_lower, pixels[0], -furthest))
        upper.append(GroupParameters(d.theta_upper, d.flux_upper, pixels[1], furthest))
        aspect_free = d.aspect_free * used[:, None, None]
        movable.append(
            GroupParameters(d.theta_free * used[:, None], d.flux_free * used[:, None], pixels[2], aspect_free)
        )
    bounds: tuple[Any, Any] = (None, None)
    free_terms = None
    if data.calibration is not None and parameters.calibration is not None:
        bounds, free_terms = (data.calibration.lower, data.calibration.upper), data.calibration.free
    *star_range, free_stars = star_bounds(data)
    *everywhere, free_everywhere = full_scene_bounds(data.full_scene)
    least = Parameters(tuple(lower), bounds[0], star_range[0], everywhere[0])
    most = Parameters(tuple(upper), bounds[1], star_range[1], everywhere[1])
    return Range(Parameters(tuple(movable), free_terms, free_stars, free_everywhere), least, most)


def free_within(where: Range, parameters: Parameters, gradient: Parameters) -> Parameters:
    """Return 1 for what is free and at no bound that going downhill would cross."""
    free: Parameters = jax.tree.map(
        lambda m, u, lo, hi, g: m * ~(((u <= lo) & (g > 0)) | ((u >= hi) & (g < 0))),
        where.movable,
        parameters,
        where.lower,
        where.upper,
        gradient,
    )
    return free


def linearized(layout: Layout, data: ProblemData, parameters: Parameters) -> Step:
    """Return the problem linearized at `parameters`."""
    lags = lag(parameters)
    lines, _, gradient, tangents = slope_at(layout, data, parameters, lags)
    where = range_at(layout, data, parameters)
    free = free_within(where, parameters, gradient)
    return Step(lines, lags, free, where.lower, where.upper, gradient, tangents)


def normal_product(layout: Layout, data: ProblemData, parameters: Parameters, step: Step, v: Parameters) -> Parameters:
    """Return (Jᵀ W J + penalties) v, for calibrated data."""
    changes = picture_changes(data, step.lines, v)
    negative = negative_weights(layout, data, step.lags, step.lines)
    lights = tuple(None if w is None else w**2 * change for w, change in zip(negative, changes, strict=True))
    return _product(layout, data, parameters, step, v, changes, lights)


def _product(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    step: Step,
    v: Parameters,
    changes: Pictures,
    lights: tuple[Float[Array, "slot side side"] | None, ...],
) -> Parameters:
    """Return the product of the normal matrix and v, given how pictures change with v and what acts on them."""
    images = apply_jacobian(layout, data, parameters, step.lines, v, changes, step.tangents)
    tethers = pull_products(data, parameters, step.lines, v, changes)
    lights = with_light(lights, tethers)
    product = jax.tree.map(
        jnp.add,
        apply_adjoint(layout, data, parameters, step.lines, weighted(data, images), lights, step.tangents),
        penalty_product(layout, data, parameters, step.lags, v),
    )
    return with_flux(product, tethers)


def newton_blocks(
    layout: Layout, data: ProblemData, parameters: Parameters, step: Step, damping: Any, caution: Any
) -> Preconditioners:
    """Return about the inverse of the damped normal matrix.

    `damping` is relative to its diagonal. `caution` is the weight of the belief that shape parameters stay where the
    linearization can be trusted; 0 solves the plain problem.
    """
    return make_preconditioner(
        layout, data, parameters, step.lines, step.lags, step.free, step.tangents, damping, caution
    )


def newton_direction(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    step: Step,
    preconditioners: Preconditioners,
    damping: Any,
    caution: Any,
    tolerance: Any,
    budget: Any,
    rounds: Any,
) -> tuple[Parameters, Float[Array, ""]]:
    """Return about the minimum of the damped quadratic model over the free parameters, and the fall it promises.

    `damping` and `caution` as in `newton_blocks`, which may have been made at another point; the others as in
    `one_sided_gradients`.
    """

    near = calibrated(layout.near, data.near, parameters)
    priced = light_prices(layout, data, step.lags)

    def masked(v: Parameters) -> Parameters:
        return jax.tree.map(jnp.multiply, step.free, tied(data, v))

    def product(v: Parameters, costs: Pictures, others: Pictures) -> tuple[Parameters, Pictures]:
        changes = picture_changes(data, step.lines, v)
        acting = iter(
            cost * change + other for cost, change, other in zip(costs, of_priced(changes), others, strict=True)
        )
        lights = tuple(None if price is None else next(acting) for price in priced)
        undamped = _product(layout.near, near, parameters, step, v, changes, lights)
        damped = jax.tree.map(jnp.add, undamped, damping_product(layout, preconditioners, damping, caution, v))
        return masked(damped), of_priced(changes)

    def of_priced(each: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(item for item, price in zip(each, priced, strict=True) if price is not None)

    def inverse(v: Parameters) -> Parameters:
        return masked(precondition(preconditioners, step.free, v))

    right = masked(jax.tree.map(jnp.negative, step.gradient))
    light = Light(of_priced(tuple(line.picture for line in step.lines)), of_priced(priced))
    return one_sided_gradients(product, inverse, right, light, tolerance, budget, rounds)

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

from deblend.infer.preconditioner import (
    Preconditioners,
    damping_product,
    local_energies,
    local_weights,
    make_preconditioner,
    precondition,
)
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.calibration import (
    Tangents,
    calibrated,
    calibration_tangents,
    with_background,
)
from deblend.program.convolution import observe
from deblend.program.full_scene_layer import direction, full_scene_bounds
from deblend.program.layout import GroupLayout, Layout
from deblend.program.noise import chi2, weighted
from deblend.program.operator import (
    Canvas,
    Linearization,
    Pictures,
    apply_adjoint,
    apply_jacobian,
    box_mask,
    envelope_of,
    group_pictures,
    linearize,
    normalised,
    over_slots,
    picture_changes,
    pictures_of,
    profile_of,
    render,
    shape_change,
    sky_of,
)
from deblend.program.penalty import (
    Lag,
    free_form_bound,
    is_free_form,
    lag,
    negative_weights,
    penalty,
    penalty_gradient,
    penalty_product,
    pixel_mask,
)
from deblend.program.splitting import pull_products, pulls, with_flux, with_light
from deblend.program.star_layer import star_bounds
from deblend.program.ties import tied
from deblend.render import KINDS

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
    """Return ½ χ²: ½ Σ w (model - image)² for white noise."""
    return 0.5 * sum(
        (chi2(o, m - o.images) for o, m in zip(data.observations, models, strict=True)),
        start=jnp.zeros((), data.psf_variance.dtype),
    )


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
    models = with_background(layout, parameters, observe(layout, seen, sky))
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


def linearized(layout: Layout, data: ProblemData, parameters: Parameters) -> Step:
    """Return the problem linearized at `parameters`."""
    lags = lag(parameters)
    lines, _, gradient, tangents = slope_at(layout, data, parameters, lags)
    lower, upper, movable = [], [], []
    for group, d, p in zip(layout.groups, data.groups, parameters.groups, strict=True):
        used = (jnp.arange(group.capacity) < d.count).astype(p.theta.dtype)
        pixels: tuple[Any, Any, Any] = (None, None, None)
        if p.pixels is not None:
            bound = free_form_bound(d, p.pixels) if is_free_form(group) else jnp.full_like(p.pixels, -jnp.inf)
            free_pixels = pixel_mask(group, d, p.theta.dtype) * used[:, None, None]
            pixels = (bound, jnp.full_like(p.pixels, jnp.inf), free_pixels)
        flux_lower = d.flux_lower
        if is_free_form(group):
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
    free = jax.tree.map(
        lambda m, u, lo, hi, g: m * ~(((u <= lo) & (g > 0)) | ((u >= hi) & (g < 0))),
        Parameters(tuple(movable), free_terms, free_stars, free_everywhere),
        parameters,
        least,
        most,
        gradient,
    )
    return Step(lines, lags, free, least, most, gradient, tangents)


def normal_product(layout: Layout, data: ProblemData, parameters: Parameters, step: Step, v: Parameters) -> Parameters:
    """Return (Jᵀ W J + penalties) v, for calibrated data."""
    changes = picture_changes(data, step.lines, v)
    images = apply_jacobian(layout, data, parameters, step.lines, v, changes, step.tangents)
    negative = negative_weights(layout, data, step.lags, step.lines)
    lights = tuple(None if w is None else w**2 * change for w, change in zip(negative, changes, strict=True))
    tethers = pull_products(data, parameters, step.lines, v, changes)
    lights = with_light(lights, tethers)
    product = jax.tree.map(
        jnp.add,
        apply_adjoint(layout, data, parameters, step.lines, weighted(data, images), lights, step.tangents),
        penalty_product(layout, data, parameters, step.lags, v),
    )
    return with_flux(product, tethers)


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
) -> tuple[Parameters, Float[Array, ""]]:
    """Return about the minimum of the damped quadratic model over the free parameters, and the fall it promises.

    `damping` and `caution` as in `newton_blocks`, which may have been made at another point.
    """

    near = calibrated(layout.near, data.near, parameters)

    def masked(v: Parameters) -> Parameters:
        return jax.tree.map(jnp.multiply, step.free, tied(data, v))

    def product(v: Parameters) -> Parameters:
        undamped = normal_product(layout.near, near, parameters, step, v)
        return masked(jax.tree.map(jnp.add, undamped, damping_product(layout, preconditioners, damping, caution, v)))

    def inverse(v: Parameters) -> Parameters:
        return masked(precondition(preconditioners, step.free, v))

    right = masked(jax.tree.map(jnp.negative, step.gradient))
    return conjugate_gradients(product, inverse, right, tolerance, budget)


def settled(layout: Layout, data: ProblemData, parameters: Parameters) -> Parameters:
    """Return the same scene where it is best to stand: what the data cannot see goes to where the prior is.

    The sum of a profile's amplitudes cancels in its picture; it becomes the one that their prior likes best. Spectra of
    light over the whole scene become as long as 1.
    """
    result = []
    for group, d, p in zip(layout.groups, data.groups, parameters.groups, strict=True):
        n_amplitudes = dict(KINDS[group.kind].parameters).get("amplitudes", 0)
        if n_amplitudes:
            place = slice(2, 2 + n_amplitudes)
            free = d.theta_free[:, place]
            count = jnp.maximum(jnp.sum(free, axis=1, keepdims=True), 1.0)
            off = jnp.sum(free * (d.theta_mean[:, place] - p.theta[:, place]), axis=1, keepdims=True) / count
            p = p._replace(theta=p.theta.at[:, place].add(off * free))
        result.append(p)
    everywhere = parameters.full_scene
    if everywhere is not None:
        everywhere = everywhere._replace(spectrum=direction(everywhere.spectrum))
    return parameters._replace(groups=tuple(result), full_scene=everywhere)


def carried(layout: Layout, direction: Parameters, fraction: Any) -> Parameters:
    """Return how far parameters go a fraction along a direction.

    Amplitudes of a profile are logarithms. Where a step d promised a picture with a (1 + d) of a Gaussian, its
    amplitude a is to become that, not a exp(d), which overshoots by far where a faint part is to become bright.
    """
    result = []
    direction = jax.tree.map(lambda part: fraction * part, direction)
    for group, d in zip(layout.groups, direction.groups, strict=True):
        n_amplitudes = dict(KINDS[group.kind].parameters).get("amplitudes", 0)
        if n_amplitudes:
            place = slice(2, 2 + n_amplitudes)
            step = d.theta[:, place]
            d = d._replace(theta=d.theta.at[:, place].set(jnp.where(step > 0, jnp.log1p(jnp.maximum(step, 0.0)), step)))
        result.append(d)
    return direction._replace(groups=tuple(result))


def tried(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    direction: Parameters,
    fraction: Any,
    trust: Any,
    lower: Parameters,
    upper: Parameters,
    lines: tuple[Linearization, ...],
) -> Trial:
    """Return the scene a fraction along a direction, within its bounds; with `trust` 1 corrections make up for what
    the direction leaves out (see `follow`), with 0 it goes straight."""
    going = carried(layout, direction, fraction)
    moved = jax.tree.map(lambda u, d, lo, hi: jnp.clip(u + d, lo, hi), parameters, going, lower, upper)
    rested = settled(layout, data, moved)
    energies = local_energies(data, local_weights(data))
    ends, pictures = [], []
    for group, d, energy, *item in zip(
        layout.groups,
        data.groups,
        energies,
        parameters.groups,
        rested.groups,
        direction.groups,
        lines,
        strict=True,
    ):
        if KINDS[group.kind].is_correction:
            end, picture = follow(group, d, energy, data.psf_variance, fraction, trust, *item)
        else:
            end, picture = item[1], group_pictures(group, d, item[1], data.psf_variance)
        ends.append(end)
        pictures.append(picture)
    return evaluated(layout, data, rested._replace(groups=tuple(ends)), tuple(pictures))


def follow(
    group: GroupLayout,
    data: GroupData,
    energy: Float[Array, "slot channel"],
    psf_variance: Any,
    fraction: Any,
    trust: Any,
    before: GroupParameters,
    after: GroupParameters,
    direction: GroupParameters,
    line: Linearization,
) -> tuple[GroupParameters, Float[Array, "slot side side"]]:
    """Return a step's end with corrections that lead to the picture that the linearized model had promised, and the
    pictures there.

    The light of a correction is its pixels times an envelope that changes with the profile. To second order the
    picture misses what the step was made for, by much more than the noise where a source is bright. There the
    pixels make up for it, to the share that the data hold them; the others go as far as they were told.
    """

    def body(slot: Any, carry: Any) -> Any:
        pixels, pictures = carry
        mask = box_mask(group.side, data.radius[slot], pixels.dtype)
        movable = box_mask(group.side, data.pixel_radius[slot], pixels.dtype) * data.pixels_free[slot]
        profile = profile_of(group, after.theta[slot], data.scale[slot], psf_variance) * mask
        envelope = envelope_of(group, profile, data.correction[slot], mask)
        flux, flux_before = after.flux[slot], before.flux[slot]
        straight = profile + envelope * pixels[slot]
        total = jnp.sum(straight)
        size = jnp.sum(energy[slot] * flux**2)
        ratio = jnp.sum(energy[slot] * flux * flux_before) / jnp.maximum(size, 1e-20)
        change = fraction * shape_change(line, slot, direction.theta, direction.pixels)
        missing = (line.picture[slot] + ratio * change) * total - straight
        seen = size * (envelope / jnp.where(total > 0, total, 1.0)) ** 2
        share = trust * seen / (seen + data.correction_precision[slot] ** 2 + 1e-12) * movable
        good = (fraction > 0) & (total > 0) & (size > 0)
        added = jnp.where(good, share * missing / jnp.where(envelope > 0, envelope, 1.0), 0.0)
        picture = normalised(group, straight + envelope * added)
        return pixels.at[slot].add(added), pictures.at[slot].set(picture)

    pixels, pictures = over_slots(data.count, body, (after.pixels, jnp.zeros_like(line.picture)))
    return after._replace(pixels=pixels), pictures


def evaluated(layout: Layout, data: ProblemData, parameters: Parameters, pictures: Pictures) -> Trial:
    """Return a scene with its loss and models, from the pictures of its sources."""
    models = render(layout, data, parameters, pictures)
    loss = data_loss(data, models) + penalty(layout, data, parameters, lag(parameters), pictures)
    return Trial(parameters, loss, models)


def seen_at(layout: Layout, data: ProblemData, parameters: Parameters) -> Trial:
    """Return a scene with its loss and models."""
    return evaluated(layout, data, parameters, pictures_of(layout, data, parameters))

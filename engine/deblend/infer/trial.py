"""Trials: the end of a step along a direction, with its loss and models.

Parameters do not go straight where a straight way would miss what the linearized model had promised: amplitudes go
where their light does, and corrections make up for an envelope that moves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.infer.preconditioner import local_energies, local_weights
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.full_scene_layer import direction
from deblend.program.layout import GroupLayout, Layout
from deblend.program.learned import with_best_classes
from deblend.program.noise import chi2
from deblend.program.operator import Canvas, render
from deblend.program.penalty import lag, penalty
from deblend.program.pictures import (
    Linearization,
    Pictures,
    envelope_of,
    group_pictures,
    masks_of,
    normalised,
    over_slots,
    pictures_of,
    profile_of,
    reach_mask,
    shape_change,
)
from deblend.program.placement import prior_precision
from deblend.render import KINDS
from deblend.render.tables import GalaxyTables


class Trial(NamedTuple):
    """A scene that was tried."""

    parameters: Parameters
    loss: Float[Array, ""]
    """½ χ² plus penalties."""
    models: tuple[Canvas, ...]
    """Model of every observation, in units of the noise."""


def data_loss(data: ProblemData, models: tuple[Canvas, ...]) -> Float[Array, ""]:
    """Return ½ χ²: ½ Σ w (model - image)² for white noise."""
    return 0.5 * sum(
        (chi2(o, m - o.images) for o, m in zip(data.observations, models, strict=True)),
        start=jnp.zeros((), data.psf_variance.dtype),
    )


def settled(layout: Layout, data: ProblemData, parameters: Parameters) -> Parameters:
    """Return the same scene where it is best to stand: what the data cannot see goes to where the prior is.

    The sum of a profile's amplitudes cancels in its picture; it becomes the one that their prior likes best. So does
    the center of a source without pixels, where offsets of all channels move it back. Spectra of light over the whole
    scene become as long as 1. A picture under a learned prior is written by the size class, modes and pixels that
    suit it best.
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
        if p.pixels is None and data.center_ties is None and data.links is None:
            p = _centered(d, p)
        result.append(p)
    everywhere = parameters.full_scene
    if everywhere is not None:
        everywhere = everywhere._replace(spectrum=direction(everywhere.spectrum))
    return parameters._replace(groups=with_best_classes(layout, data, tuple(result)), full_scene=everywhere)


def _centered(data: GroupData, p: GroupParameters) -> GroupParameters:
    """Return sources at the centers that priors like best, of those that all channels' offsets make up for."""
    center, offsets, precision = p.theta[:, :2], p.aspect[:, :, :2], data.aspect_precision[:, None, :2] ** 2
    own = prior_precision(data, p.theta)[:, :2] ** 2
    pull = jnp.sum(precision * offsets, axis=1) + own * (data.theta_mean[:, :2] - center)
    best = center + pull / jnp.maximum(jnp.sum(precision * jnp.ones_like(offsets), axis=1) + own, 1e-12)
    is_free = data.theta_free[:, :2] * jnp.min(data.aspect_free[:, :, :2], axis=1)
    if data.beliefs is not None:
        # a center of which a person has said what to believe stays where the step led
        is_free = is_free * jnp.all(data.beliefs.linear[:, :2, :] == 0, axis=2)
    by = (jnp.clip(best, data.theta_lower[:, :2], data.theta_upper[:, :2]) - center) * is_free
    return p._replace(theta=p.theta.at[:, :2].add(by), aspect=p.aspect.at[:, :, :2].add(-by[:, None]))


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
    the direction leaves out (see `follow`), with 0 it goes straight. It rests where it is best to stand."""
    moved = _moved(layout, parameters, direction, fraction, lower, upper)
    return _followed(layout, data, parameters, direction, fraction, trust, lines, settled(layout, data, moved))


def tried_restless(
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
    """Return what `tried` does, without putting what the data cannot see to where the prior is: where priors have
    noise of their own that is not where they are least."""
    moved = _moved(layout, parameters, direction, fraction, lower, upper)
    return _followed(layout, data, parameters, direction, fraction, trust, lines, moved)


def _moved(
    layout: Layout, parameters: Parameters, direction: Parameters, fraction: Any, lower: Parameters, upper: Parameters
) -> Parameters:
    going = carried(layout, direction, fraction)
    moved: Parameters = jax.tree.map(lambda u, d, lo, hi: jnp.clip(u + d, lo, hi), parameters, going, lower, upper)
    return moved


def _followed(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    direction: Parameters,
    fraction: Any,
    trust: Any,
    lines: tuple[Linearization, ...],
    rested: Parameters,
) -> Trial:
    """Return a step's end with the corrections that make up for what its direction left out."""
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
            end, picture = follow(group, d, energy, data.psf_variance, data.learned, fraction, trust, *item)
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
    tables: GalaxyTables | None,
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
        support = None if data.support is None else data.support[slot]
        masks = masks_of(group, data.radius[slot], support, pixels.dtype)
        reach = reach_mask(group.side, data.radius[slot], data.pixel_radius[slot], support, pixels.dtype)
        movable = reach * data.pixels_free[slot]
        parts = profile_of(group, after.theta[slot], data.scale[slot], psf_variance, tables)
        profile, scatter = (part * masks.light for part in parts)
        envelope = envelope_of(group, scatter, data.correction[slot], masks)
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

"""Ties: numbers of several channels or sources that are one number.

Fluxes of one passband are the same at every epoch, unless a source varies, and so are gradients of color; places of
a moving source lie on a line; shape parameters may be linked; images that were taken together turn together. What is
tied stays in a subspace, and steps are projected onto it: the projections are data, so no edit compiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from deblend.program.arrays import CenterTies, Parameters, ProblemData
from deblend.program.calibration import TURN
from deblend.scene import Source
from deblend.sky import Channel, same_passbands


def has_epochs(channels: Sequence[Channel]) -> bool:
    """Tell whether a passband was seen several times."""
    return len(same_passbands(channels)) < len(channels)


def flux_basis(
    channels: Sequence[Channel], noise: Float[np.ndarray, " channel"], is_variable: bool
) -> Float[np.ndarray, "number channel"]:
    """Return the fluxes, in units of the noise, of each number that a spectrum has: 1 nJy in one passband, or in one
    channel of what varies."""
    if is_variable:
        return np.diag(1.0 / noise)
    result = np.zeros((len(same_passbands(channels)), len(channels)))
    for number, members in enumerate(same_passbands(channels)):
        result[number, members] = 1.0 / noise[members]
    return result


def epochs_of_channels(channels: Sequence[Channel]) -> Float[np.ndarray, "epoch channel"]:
    """Return 1 for the channels of each epoch, in the order of the first of each."""
    epochs = list(dict.fromkeys(channel.epoch for channel in channels))
    return np.array([[float(channel.epoch == epoch) for channel in channels] for epoch in epochs])


def flux_tie(
    channels: Sequence[Channel], noise: Float[np.ndarray, " channel"], is_variable: bool
) -> Float[np.ndarray, "channel channel"]:
    """Return the projection of fluxes, in units of the noise, onto those that are one flux per passband [nJy]."""
    basis = flux_basis(channels, noise, is_variable)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    return basis.T @ basis


def passband_means(channels: Sequence[Channel]) -> Float[np.ndarray, "channel channel"]:
    """Return the projection onto numbers that are the same at all epochs of a passband: their mean."""
    result = np.zeros((len(channels), len(channels)))
    for members in same_passbands(channels):
        result[np.ix_(members, members)] = 1.0 / len(members)
    return result


def has_ties(sources: Sequence[Source]) -> bool:
    """Tell whether anything moves, or has several components."""
    return any(source.track is not None or len(source.parts) > 1 for source in sources)


def center_ties(members: Sequence[Sequence[tuple[Source, int]]], capacities: Sequence[int]) -> CenterTies:
    """Return the projections that keep the components of a source together, and each moving source on a line."""
    n = int(np.sum(capacities))
    starts = np.cumsum([0, *capacities])
    slots: dict[str, list[int]] = {}
    tracks: dict[str, dict[str, float]] = {}
    for start, group in zip(starts, members, strict=False):
        for slot, (source, _) in enumerate(group):
            slots.setdefault(source.id, []).append(int(start) + slot)
            if source.track is not None:
                tracks.setdefault(source.track.id, {})[source.id] = source.track.time
    shared = np.eye(n)
    for own in slots.values():
        shared[np.ix_(own, own)] = 1.0 / len(own)
    centers = shared.copy()
    for times in tracks.values():
        rows = np.concatenate([slots[source_id] for source_id in times])
        when = np.repeat(list(times.values()), [len(slots[source_id]) for source_id in times])
        line = np.stack([np.ones_like(when), when - when.mean()], axis=1)
        basis = np.linalg.svd(line, full_matrices=False)[0][:, : np.linalg.matrix_rank(line)]
        centers[np.ix_(rows, rows)] = basis @ basis.T
    return CenterTies(centers, shared)


def tied(data: ProblemData, v: Parameters) -> Parameters:
    """Return the part of a change of the parameters that keeps what is tied."""
    groups = []
    for d, x in zip(data.groups, v.groups, strict=True):
        if d.flux_tie is not None:
            x = x._replace(flux=jnp.einsum("skc,sc->sk", d.flux_tie, x.flux))
        if data.passbands is not None:
            # colors do not change with time; where a source is seen does, with the atmosphere and the registration
            tilt = jnp.einsum("kc,sc->sk", data.passbands, x.aspect[:, :, 2])
            x = x._replace(aspect=jnp.concatenate([x.aspect[:, :, :2], tilt[:, :, None]], axis=2))
        groups.append(x)
    if data.center_ties is not None and groups:
        together = data.center_ties.centers @ jnp.concatenate([x.theta[:, :2] for x in groups])
        offsets = jnp.tensordot(data.center_ties.offsets, jnp.concatenate([x.aspect[:, :, :2] for x in groups]), axes=1)
        start = 0
        for index, x in enumerate(groups):
            own = slice(start, start + len(x.theta))
            theta = jnp.concatenate([together[own], x.theta[:, 2:]], axis=1)
            aspect = jnp.concatenate([offsets[own], x.aspect[:, :, 2:]], axis=2)
            groups[index], start = x._replace(theta=theta, aspect=aspect), own.stop
    if data.links is not None and groups:
        numbers = jnp.concatenate([link.ravel() for link in data.links])
        theta = jnp.concatenate([x.theta.ravel() for x in groups])
        sums = jax.ops.segment_sum(jnp.stack([theta, jnp.ones_like(theta)], axis=1), numbers, len(theta))
        means = sums[:, 0] / jnp.maximum(sums[:, 1], 1.0)
        groups = [x._replace(theta=means[link]) for x, link in zip(groups, data.links, strict=True)]
    terms = v.calibration
    if terms is not None and data.calibration is not None:
        terms = jnp.asarray(terms).at[:, TURN].set(data.calibration.turn_tie @ terms[:, TURN])
    return v._replace(groups=tuple(groups), calibration=terms)

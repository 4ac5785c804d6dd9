"""Ties: numbers of several channels or sources that are one number.

Fluxes of one passband are the same at every epoch, unless a source varies, and so are gradients of color; places of
a moving source lie on a line; images that were taken together turn together. What is tied stays in a subspace, and
steps are projected onto it: the projections are data, so no edit compiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from deblend.program.arrays import Parameters, ProblemData
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


def center_tie(sources: Sequence[Source], capacity: int) -> Float[np.ndarray, "slot slot"]:
    """Return the projection of changes of centers onto those that keep each moving source on a line."""
    result = np.eye(capacity)
    tracks: dict[str, list[int]] = {}
    for slot, source in enumerate(sources):
        if source.track is not None:
            tracks.setdefault(source.track.id, []).append(slot)
    for members in tracks.values():
        times = np.array([sources[slot].track.time for slot in members])  # type: ignore[union-attr]
        line = np.stack([np.ones_like(times), times - times.mean()], axis=1)
        basis = np.linalg.svd(line, full_matrices=False)[0][:, : np.linalg.matrix_rank(line)]
        result[np.ix_(members, members)] = basis @ basis.T
    return result


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
        if d.center_tie is not None:
            x = x._replace(theta=jnp.concatenate([d.center_tie @ x.theta[:, :2], x.theta[:, 2:]], axis=1))
        groups.append(x)
    terms = v.calibration
    if terms is not None and data.calibration is not None:
        terms = terms.at[:, TURN].set(data.calibration.turn_tie @ terms[:, TURN])
    return v._replace(groups=tuple(groups), calibration=terms)

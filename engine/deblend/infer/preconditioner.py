"""About the inverse of the normal matrix: for every source, what belongs together, solved together.

Shape parameters, fluxes and the pixels of a source's core can stand in for each other: all pixels of a correction
together are a flux, or another profile. Taken one by one, each of them looks stiff; together they hardly change the
picture, and only their priors hold them. So one dense block per source holds them all, with the response of the
telescope as if weights were constant over the source. The pixels around the core stand alone, and the overlap of
sources is left to the conjugate gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Int

from deblend.infer.block_inverse import free_inverse
from deblend.infer.full_scene_blocks import (
    FullSceneBlocks,
    apply_full_scene_blocks,
    full_scene_damping,
    make_full_scene_blocks,
)
from deblend.infer.star_blocks import StarBlocks, apply_star_blocks, make_star_blocks
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.aspects import N_ASPECTS
from deblend.program.calibration import Tangents, calibration_gram
from deblend.program.layout import GroupLayout, Layout
from deblend.program.operator import Linearization, over_slots, unmoved
from deblend.program.penalty import Lag, negative_weight, penalty_diagonal
from deblend.program.splitting import amplitude_of
from deblend.render import KINDS

CORE_RADIUS = 4
"""Pixels up to here from the middle of a box are part of the dense block [pix]."""
LEAST_WEIGHT = 0.05
"""Of the mean, for a source on masked pixels."""


class Preconditioner(NamedTuple):
    """About the inverse of a group's damped normal matrix."""

    block: Float[Array, "slot n n"]
    """Inverse for the shape parameters, fluxes, aspects of channels and core's pixels of each slot, in this order."""
    diagonal: Float[Array, "slot m"]
    """Diagonal of the undamped normal matrix for all but the pixels."""
    pixels: Float[Array, "slot side side"] | None
    """Diagonal of the normal matrix for pixels."""


class Preconditioners(NamedTuple):
    """About the inverse of the whole damped normal matrix."""

    groups: tuple[Preconditioner, ...]
    calibration: Float[Array, "channel 10 10"] | None = None
    """Inverse for how each channel's image is off."""
    calibration_diagonal: Float[Array, "channel 10"] | None = None
    """Diagonal of the undamped normal matrix for that."""
    stars: StarBlocks | None = None
    """For the fluxes of known stars."""
    full_scene: FullSceneBlocks | None = None
    """For light that covers the whole scene."""


def core_of(side: int) -> tuple[slice, slice]:
    """Return the rows and columns of the core in a box."""
    radius = min(CORE_RADIUS, side // 2)
    inner = slice(side // 2 - radius, side // 2 + radius + 1)
    return inner, inner


def _multiplicity(period: int) -> Float[np.ndarray, " f"]:
    """Return how many frequencies each one of a real transform stands for, divided by the number of pixels."""
    counts = np.full(period // 2 + 1, 2.0, np.float32)
    counts[[0, -1]] = 1.0
    return counts / np.float32(period**2)


def _inverse_transforms(period: int, wanted: slice) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return cosines and sines, (wanted, frequency), that turn waves into the wanted rows, and into columns."""
    index = np.arange(wanted.start, wanted.stop)[:, None]
    rows, columns = (2.0 * np.pi / period * index * np.arange(n) for n in (period, period // 2 + 1))
    count = _multiplicity(period)
    return (
        (np.cos(rows).astype(np.float32), np.sin(rows).astype(np.float32)),
        (np.cos(columns).astype(np.float32) * count, np.sin(columns).astype(np.float32) * count),
    )


def _inner(a: Complex[Array, "i y f"], b: Complex[Array, "j y f"]) -> Float[Array, "i j"]:
    """Return Σ a b* for every pair, as products of real matrices."""
    first, second = (jnp.stack([w.real, w.imag], axis=1).reshape(len(w), -1) for w in (a, b))
    return first @ second.T


def _distances(side: int) -> tuple[Int[Array, "core core"], Int[Array, "core core"]]:
    """Return how many rows and columns lie between the pixels of the core, as indices into a periodic box."""
    rows, _ = core_of(side)
    width = rows.stop - rows.start
    # made by the machine itself: as tables they would be most of a kept program
    index = jnp.arange(width**2)
    y, x = index // width, index % width
    return (y[:, None] - y[None]) % (side + 1), (x[:, None] - x[None]) % (side + 1)


def make_preconditioner(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lines: tuple[Linearization, ...],
    lags: tuple[Lag | None, ...],
    free: Parameters,
    tangents: Tangents | None,
    damping: Any,
    caution: Any,
) -> Preconditioners:
    """Return about the inverse of the damped normal matrix, a block per source."""
    result = []
    around = local_weights(data)
    energies = local_energies(data, around)
    for index, group in enumerate(layout.groups):
        d, p, line, weights, movable = (
            data.groups[index],
            parameters.groups[index],
            lines[index],
            lags[index],
            free.groups[index],
        )
        power = jnp.concatenate([o.power[index] for o in data.observations])
        pixels = stiffness = None
        if weights is not None and line.envelope is not None:
            curvature = jnp.sum(p.flux**2 * energies[index], axis=1)[:, None, None]
            stiffness = penalty_diagonal(d, weights, line)
            pixels = curvature * line.envelope**2 + stiffness + 1e-12
        block = _Block(group, d, p, line, weights, stiffness, movable, power, around[index])

        def one(slot: Any, carry: Any, block: _Block = block) -> Any:
            blocks, diagonals = carry
            inverse, diagonal = block.inverse(slot, damping, caution)
            return blocks.at[slot].set(inverse), diagonals.at[slot].set(diagonal)

        n, n_few, dtype = block.size, block.n_few, p.theta.dtype
        initial = jnp.zeros((group.capacity, n, n), dtype), jnp.ones((group.capacity, n_few), dtype)
        blocks, diagonals = over_slots(d.count, one, initial)
        result.append(Preconditioner(blocks, diagonals, pixels))
    groups, stars = tuple(result), None
    if data.stars is not None and free.stars is not None:
        stars = make_star_blocks(data.stars, free.stars, damping)
    everywhere = make_full_scene_blocks(
        layout, data.full_scene, parameters.full_scene, free.full_scene, damping, caution
    )
    if tangents is None or data.calibration is None or free.calibration is None:
        return Preconditioners(groups, stars=stars, full_scene=everywhere)
    gram = calibration_gram(layout, data, tangents)
    prior = data.calibration.precision**2
    diagonal = jnp.diagonal(gram, axis1=1, axis2=2) + prior
    blocks = jax.vmap(free_inverse)(gram, prior + damping * diagonal, free.calibration)
    return Preconditioners(groups, blocks, diagonal, stars, everywhere)


def local_energies(
    data: ProblemData, around: tuple[Float[Array, "slot channel"], ...]
) -> tuple[Float[Array, "slot channel"], ...]:
    """Return how well data of the weights around each source hold a pixel of unit flux, Σ W K², per group."""
    energy = jnp.concatenate([o.kernel_energy for o in data.observations])
    return tuple(weights * energy[None] for weights in around)


def local_weights(data: ProblemData) -> tuple[Float[Array, "slot channel"], ...]:
    """Return the mean weight of the pixels around each source, per group."""
    return tuple(jax.vmap(lambda origin: _weights_around(data, origin))(d.origin) for d in data.groups)


def _weights_around(data: ProblemData, origin: Any) -> Float[Array, " channel"]:
    """Return the mean weight of the pixels around a source, per channel; never next to nothing."""
    means = []
    for o in data.observations:
        n_bands, *shape = o.weights.shape
        size = tuple(min(2 * CORE_RADIUS + 1, n) for n in shape)
        place = o.place[:, :2] @ origin.astype(o.place.dtype) + o.place[:, 2]
        corner = tuple(jnp.floor(place[i] + 0.5).astype(origin.dtype) - size[i] // 2 for i in (0, 1))
        # a source that this telescope does not see has the weight of a masked one
        is_seen = jnp.all(place > -CORE_RADIUS) & jnp.all(place < jnp.asarray(shape) + CORE_RADIUS)
        near = jnp.mean(lax.dynamic_slice(o.weights, (0, *corner), (n_bands, *size)), axis=(1, 2)) * is_seen
        means.append(jnp.maximum(near, LEAST_WEIGHT * jnp.mean(o.weights, axis=(1, 2))))
    return jnp.concatenate(means)


class _Block:
    """The dense part of one group's normal matrix: shape parameters, fluxes, aspects of channels, core."""

    def __init__(
        self,
        group: GroupLayout,
        data: GroupData,
        parameters: GroupParameters,
        line: Linearization,
        weights: Lag | None,
        stiffness: Float[Array, "slot side side"] | None,
        free: GroupParameters,
        power: Float[Array, "channel side f"],
        around: Float[Array, "slot channel"],
    ) -> None:
        self._data, self._parameters, self._line, self._lag, self._free = data, parameters, line, weights, free
        self._power, self._around, self._side, self._stiffness = power, around, group.side, stiffness
        self._trust = jnp.asarray(KINDS[group.kind].trust, parameters.theta.dtype)
        self._core = core_of(group.side)
        self._n_theta, self._n_channels = parameters.theta.shape[1], parameters.flux.shape[1]
        self.n_few = self._n_theta + (1 + N_ASPECTS) * self._n_channels
        # spectra come kind by kind, parameters all fluxes first, then all aspects of each channel
        table = np.arange((1 + N_ASPECTS) * self._n_channels).reshape(1 + N_ASPECTS, -1)
        self._order = np.concatenate([table[0], table[1:].T.ravel()])
        n_core = (self._core[0].stop - self._core[0].start) ** 2
        self.size = self.n_few + (n_core if line.envelope is not None else 0)

    def inverse(self, slot: Any, damping: Any, caution: Any) -> tuple[Float[Array, "n n"], Float[Array, " m"]]:
        """Return the inverse for one slot, and the undamped diagonal of the few."""
        d, free, n_few, n_channels = self._data, self._free, self.n_few, self._n_channels
        matrix = self._of_data(slot)
        diagonal = jnp.diagonal(matrix)
        # on fluxes there is no prior, but there may be a tether
        held = jnp.zeros(n_channels, matrix.dtype) if d.tether is None else d.tether.flux_stiffness[slot]
        prior = jnp.concatenate(
            [d.theta_precision[slot] ** 2, held, jnp.tile(d.aspect_precision[slot] ** 2, n_channels)]
        )
        undamped = diagonal[:n_few] + prior
        added = prior + damping * undamped + held_by_trust(self._trust, n_few, caution)
        is_free = jnp.concatenate([free.theta[slot], free.flux[slot], free.aspect[slot].ravel()])
        if self._lag is not None and self._stiffness is not None:
            matrix = matrix + self._of_negative_light(slot, self._lag)
            if d.tether is not None:
                matrix = matrix + self._of_tether(slot, d.tether.stiffness[slot])
            stiff = self._stiffness[slot][self._core].ravel()
            added = jnp.concatenate([added, stiff + damping * (diagonal[n_few:] + stiff)])
            is_free = jnp.concatenate([is_free, free.pixels[slot][self._core].ravel()])  # type: ignore[index]
        return free_inverse(matrix, added, is_free), undamped

    def _of_data(self, slot: Any) -> Float[Array, "n n"]:
        """Return Jᵀ W J of one source, as if all channels saw it through their mean kernel.

        Then every entry is the product of two pictures times that of two spectra.
        """
        side, line = self._side, self._line
        flux, power = self._parameters.flux[slot], self._around[slot][:, None, None] * self._power
        pictures = jnp.concatenate([line.tangents[slot], line.seen[slot]])
        period = side + 1
        waves = jnp.fft.rfft2(pictures, s=(period, period))
        multiplicity = _multiplicity(period)
        light = (jnp.abs(waves[self._n_theta]) ** 2 * multiplicity[None])[None] * power
        # with the mean kernel a picture of the source has size 1 in every channel, and depth makes up for it
        depth = jnp.sum(light, axis=(1, 2))
        shares = flux**2 * depth + 1e-20
        mean = jnp.tensordot(shares / jnp.sum(shares) / (depth + 1e-20), power, axes=1)
        seen = mean[None] * waves
        gram = _inner(seen * multiplicity[None, None], waves)
        total = jnp.sum(depth * flux**2)
        n_theta = self._n_theta
        of_flux = depth * flux
        shapes, own = gram[:n_theta, :n_theta] * total, gram[n_theta:, n_theta:]
        # spectra of what a channel has for itself: its flux, and its aspects
        size = jnp.stack([jnp.ones_like(flux)] + [flux] * N_ASPECTS)
        cross = gram[n_theta:, None, :n_theta] * (size * of_flux[None])[:, :, None]
        channels = jnp.diag(depth)
        products = own[:, None, :, None] * (size[:, :, None, None] * size[None, None]) * channels[None, :, None, :]
        order = self._order
        cross, products = cross.reshape(-1, n_theta)[order], products.reshape(2 * (size.size,))[order][:, order]
        few = jnp.block([[shapes, cross.T], [cross, products]])
        if line.envelope is None:
            return few
        # a pixel of the core adds its light and takes as much from the whole picture, which keeps the sum 1
        brightness = line.envelope[slot][self._core].ravel()
        at_core = self._back_at_core(slot, seen) - gram[:, n_theta, None]
        between = jnp.fft.irfft2(mean, s=(period, period))[_distances(side)]
        to_picture = at_core[n_theta]
        core = between - to_picture[:, None] - to_picture[None, :] - gram[n_theta, n_theta]
        to_channels = at_core[n_theta:, None] * (size * of_flux[None])[:, :, None]
        to_few = jnp.concatenate([at_core[:n_theta] * total, to_channels.reshape(-1, core.shape[0])[order]])
        to_few = to_few * brightness[None]
        return jnp.block([[few, to_few], [to_few.T, core * total * brightness[:, None] * brightness[None]]])

    def _back_at_core(self, slot: Any, waves: Complex[Array, "k y f"]) -> Float[Array, "k core"]:
        """Return pictures, given in Fourier space, at the pixels of the core where they are made."""
        line, side = self._line, self._side
        period = side + 1
        if line.shift_y is not None:
            back = jnp.fft.irfft2(waves, s=(period, period))[:, :side, :side]
            return jax.vmap(lambda image: unmoved(line, slot, image)[self._core].ravel())(back)
        # a few pixels of many pictures: cheaper by matrices than by transforms, and by real ones than by complex ones
        (row_cos, row_sin), (column_cos, column_sin) = _inverse_transforms(period, self._core[0])
        real = jnp.einsum("yf,kfx->kyx", row_cos, waves.real) - jnp.einsum("yf,kfx->kyx", row_sin, waves.imag)
        imaginary = jnp.einsum("yf,kfx->kyx", row_cos, waves.imag) + jnp.einsum("yf,kfx->kyx", row_sin, waves.real)
        return (real @ column_cos.T - imaginary @ column_sin.T).reshape(len(waves), -1)

    def _of_negative_light(self, slot: Any, weights: Lag) -> Float[Array, "n n"]:
        """Return what the penalty on negative light adds, but for the diagonal of the pixels."""
        line, n_theta, core = self._line, self._n_theta, self._core
        matrix = jnp.zeros((self.size, self.size), line.picture.dtype)
        if line.shift_y is not None or line.envelope is None:
            return matrix
        weight = negative_weight(weights, self._data, slot, line.picture[slot])
        tangents = line.tangents[slot] * weight[None]
        cross = (tangents * (weight * line.envelope[slot])[None])[:, *core].reshape(n_theta, -1)
        matrix = matrix.at[:n_theta, :n_theta].set(jnp.tensordot(tangents, tangents, axes=((1, 2), (1, 2))))
        return matrix.at[:n_theta, self.n_few :].set(cross).at[self.n_few :, :n_theta].set(cross.T)

    def _of_tether(self, slot: Any, stiffness: Any) -> Float[Array, "n n"]:
        """Return what a tether of light adds for shape parameters and fluxes; pixels have its diagonal."""
        flux, n_theta, line = self._parameters.flux[slot], self._n_theta, self._line
        amplitude = amplitude_of(flux)
        pictures = jnp.concatenate([amplitude * line.tangents[slot], line.picture[slot][None]])
        gram = stiffness * jnp.tensordot(pictures, pictures, axes=((1, 2), (1, 2)))
        along = flux / amplitude
        spread = jnp.zeros((self.size, n_theta + 1), flux.dtype)
        spread = spread.at[:n_theta, :n_theta].set(jnp.eye(n_theta, dtype=flux.dtype))
        spread = spread.at[n_theta : n_theta + self._n_channels, n_theta].set(along)
        return spread @ gram @ spread.T


def precondition(preconditioners: Preconditioners, free: Parameters, r: Parameters) -> Parameters:
    """Return about the solution of the damped normal equations for the right side r."""
    result = []
    for c, x, movable in zip(preconditioners.groups, r.groups, free.groups, strict=True):
        n_few = c.diagonal.shape[1]
        together = [_few(x)]
        if x.pixels is not None:
            core = core_of(x.pixels.shape[1])
            inner = x.pixels[:, *core]
            together.append(inner.reshape(len(inner), -1))
        solved = jnp.einsum("kij,kj->ki", c.block, jnp.concatenate(together, axis=1))
        pixels = None
        if x.pixels is not None and movable.pixels is not None:
            pixels = x.pixels / c.pixels * movable.pixels
            pixels = pixels.at[:, *core].set(solved[:, n_few:].reshape(inner.shape) * movable.pixels[:, *core])
        result.append(_with_few(x, solved[:, :n_few] * _few(movable), pixels))
    terms = None
    if preconditioners.calibration is not None and r.calibration is not None and free.calibration is not None:
        terms = jnp.einsum("ckl,cl->ck", preconditioners.calibration, r.calibration) * free.calibration
    stars = None
    if preconditioners.stars is not None and r.stars is not None and free.stars is not None:
        stars = apply_star_blocks(preconditioners.stars, free.stars, r.stars)
    everywhere = apply_full_scene_blocks(preconditioners.full_scene, r.full_scene)
    return Parameters(tuple(result), terms, stars, everywhere)


def damping_product(
    layout: Layout, preconditioners: Preconditioners, damping: Any, caution: Any, v: Parameters
) -> Parameters:
    """Return what damping adds to the product of the normal matrix and v: a fraction of its diagonal, and trust."""
    result = []
    for group, c, x in zip(layout.groups, preconditioners.groups, v.groups, strict=True):
        few = _few(x)
        trust = jnp.asarray(KINDS[group.kind].trust, few.dtype)
        few = (damping * c.diagonal + held_by_trust(trust, few.shape[1], caution)[None]) * few
        result.append(_with_few(x, few, None if x.pixels is None else damping * c.pixels * x.pixels))
    terms = None
    if preconditioners.calibration_diagonal is not None and v.calibration is not None:
        terms = damping * preconditioners.calibration_diagonal * v.calibration
    stars = None
    if preconditioners.stars is not None and v.stars is not None:
        stars = damping * preconditioners.stars.diagonal * v.stars
    everywhere = full_scene_damping(preconditioners.full_scene, damping, caution, v.full_scene)
    return Parameters(tuple(result), terms, stars, everywhere)


def held_by_trust(trust: Float[Array, " theta"], n_few: int, caution: Any) -> Float[Array, " m"]:
    """Return the weight of the belief that shape parameters move no further than they can be trusted to."""
    return jnp.pad(caution * trust**-2.0, (0, n_few - len(trust)))


def _few(x: GroupParameters) -> Float[Array, "slot m"]:
    """Return all parameters but the pixels, in the order of the blocks."""
    return jnp.concatenate([x.theta, x.flux, x.aspect.reshape(len(x.aspect), -1)], axis=1)


def _with_few(x: GroupParameters, few: Float[Array, "slot m"], pixels: Any) -> GroupParameters:
    """Return parameters of the shapes of x, taken from a block's vector and from pixels."""
    n_theta, n_flux = x.theta.shape[1], x.flux.shape[1]
    aspect = few[:, n_theta + n_flux :].reshape(x.aspect.shape)
    return GroupParameters(few[:, :n_theta], few[:, n_theta : n_theta + n_flux], pixels, aspect)

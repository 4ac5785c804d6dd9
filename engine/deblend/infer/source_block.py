"""One source's part of the normal matrix, dense: shape parameters, fluxes, aspects of channels, pixels of its core."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from deblend.infer.block_inverse import free_inverse
from deblend.infer.coarse import Coarse, n_traded
from deblend.program.arrays import GroupData, GroupParameters
from deblend.program.aspects import N_ASPECTS
from deblend.program.beliefs import jacobian_of
from deblend.program.layout import GroupLayout
from deblend.program.penalty import Lag, negative_weight
from deblend.program.pictures import Linearization, unmoved
from deblend.program.placement import prior_precision
from deblend.program.splitting import amplitude_of
from deblend.render import KINDS

CORE_RADIUS = 4
"""Pixels up to here from the middle of a box are part of the dense block [pix]."""


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


class _Waves(NamedTuple):
    """One source in Fourier space."""

    pictures: Complex[Array, "part y f"]
    """How the picture changes with each shape parameter, the picture and its aspects."""
    mean: Float[Array, "y f"]
    """Power of the kernels' mean."""
    depth: Float[Array, " channel"]
    """How well the data of each channel hold a unit of flux."""


class SourceBlock:
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
        self._believed: Any = None
        if data.beliefs is not None:
            jacobian = jacobian_of(KINDS[group.kind], data.beliefs, parameters)
            self._believed = jnp.einsum("srn,srm->snm", jacobian, jacobian)
        self.size = self.n_few + (n_core if line.envelope is not None else 0)

    def no_coarse(self, capacity: int) -> Coarse:
        """Return the part of empty slots in the coarse level."""
        n_shapes, dtype = n_traded(self._n_theta), self._parameters.theta.dtype
        n_own = n_shapes + self._n_channels
        shapes = (n_shapes + 1, self._side, self._side), (self._n_channels,), (n_own, n_own)
        return Coarse(*(jnp.zeros((capacity, *shape), dtype) for shape in shapes))

    def inverse(self, slot: Any, damping: Any, caution: Any) -> tuple[Float[Array, "n n"], Float[Array, " m"], Coarse]:
        """Return the inverse for one slot, the undamped diagonal of the few, and its part in the coarse level."""
        d, free, n_few, n_channels = self._data, self._free, self.n_few, self._n_channels
        behind = self._behind_kernels(slot)
        matrix = self._of_data(slot, behind)
        if d.beliefs is not None:
            matrix = matrix.at[: self._n_theta + n_channels, : self._n_theta + n_channels].add(self._believed[slot])
        diagonal, others = jnp.diagonal(matrix), jnp.zeros_like(matrix)
        # on fluxes there may be a tether; what a person believes of numbers is dense
        held = jnp.zeros(n_channels, matrix.dtype) if d.tether is None else d.tether.flux_stiffness[slot]
        shapes = prior_precision(d, self._parameters.theta)[slot] ** 2
        prior = jnp.concatenate([shapes, held, jnp.tile(d.aspect_precision[slot] ** 2, n_channels)])
        undamped = diagonal[:n_few] + prior
        added = prior + damping * undamped + held_by_trust(self._trust, n_few, caution)
        is_free = jnp.concatenate([free.theta[slot], free.flux[slot], free.aspect[slot].ravel()])
        if self._lag is not None and self._stiffness is not None:
            others = self._of_negative_light(slot, self._lag)
            if d.tether is not None:
                others = others + self._of_tether(slot, d.tether.stiffness[slot])
            stiff = self._stiffness[slot][self._core].ravel()
            added = jnp.concatenate([added, stiff + damping * (diagonal[n_few:] + stiff)])
            is_free = jnp.concatenate([is_free, free.pixels[slot][self._core].ravel()])  # type: ignore[index]
        n_own = self._n_theta + n_channels
        held_together = others[:n_own, :n_own] + jnp.diag(added[:n_own])
        if d.beliefs is not None:
            held_together = held_together + self._believed[slot]
        traded = np.r_[: n_traded(self._n_theta), self._n_theta : n_own]
        part = Coarse(self._behind_mean_kernel(behind), jnp.sqrt(behind.depth), held_together[traded][:, traded])
        return free_inverse(matrix + others, added, is_free), undamped, part

    def _behind_kernels(self, slot: Any) -> _Waves:
        """Return the pictures of one source as waves, and the kernels that they are seen through."""
        line, period = self._line, self._side + 1
        flux, power = self._parameters.flux[slot], self._around[slot][:, None, None] * self._power
        waves = jnp.fft.rfft2(jnp.concatenate([line.tangents[slot], line.seen[slot]]), s=(period, period))
        light = (jnp.abs(waves[self._n_theta]) ** 2 * _multiplicity(period)[None])[None] * power
        # with the mean kernel a picture of the source has size 1 in every channel, and depth makes up for it
        depth = jnp.sum(light, axis=(1, 2))
        shares = flux**2 * depth + 1e-20
        return _Waves(waves, jnp.tensordot(shares / jnp.sum(shares) / (depth + 1e-20), power, axes=1), depth)

    def _behind_mean_kernel(self, behind: _Waves) -> Float[Array, "part side side"]:
        """Return how the picture changes with the first shape parameters, and the picture, as seen."""
        period, side = self._side + 1, self._side
        wanted = np.r_[: n_traded(self._n_theta), self._n_theta]
        seen = jnp.sqrt(behind.mean)[None] * behind.pictures[wanted]
        return jnp.fft.irfft2(seen, s=(period, period))[:, :side, :side]

    def _of_data(self, slot: Any, behind: _Waves) -> Float[Array, "n n"]:
        """Return Jᵀ W J of one source, as if all channels saw it through their mean kernel.

        Then every entry is the product of two pictures times that of two spectra.
        """
        side, line, flux = self._side, self._line, self._parameters.flux[slot]
        waves, mean, depth = behind
        period = side + 1
        multiplicity = _multiplicity(period)
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


def held_by_trust(trust: Float[Array, " theta"], n_few: int, caution: Any) -> Float[Array, " m"]:
    """Return the weight of the belief that shape parameters move no further than they can be trusted to."""
    return jnp.pad(caution * trust**-2.0, (0, n_few - len(trust)))

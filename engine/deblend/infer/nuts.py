"""NUTS: chains of draws from the posterior itself, however far from a Gaussian it is.

The Gaussian errors around the fit make the coordinates (`chart`), so that little is left to adapt: the size of a step.
Chains begin several times as far from the fit as its errors. Where exchanging the fluxes, or the places too, of the two
sources that overlap most leads to another minimum that counts, one of them begins there: chains that do not come to the
same draws are told by R-hat.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from deblend.infer.chart import (
    Chart,
    Charted,
    chart_at,
    numbers_of,
    size_for,
    with_numbers,
    within,
    without_bounds,
)
from deblend.infer.diagnosis import Diagnosis
from deblend.infer.diagnostics import bulk_ess, r_hat
from deblend.infer.free_part import FreePart, free_part, freedom
from deblend.infer.number_names import number_names
from deblend.infer.nuts_kernel import MOST_AT_ONCE, Place, Stretch, compiled_stretch
from deblend.infer.posterior import Anchor, Around, compiled_around
from deblend.infer.solvers import as_numpy
from deblend.infer.step_adaptation import Adaptation
from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.program.compiled import on_device, side_by_side

WARMUP = 60
"""Draws of each chain that are thrown away, while its step is adapted."""
PATIENCE = 0.1
"""Seconds that a call of compiled code takes about: whoever watches sees draws come."""
MOST_STEPS = 12
"""To the minimum next to the fit."""
FRACTIONS = 1.0, 0.3, 0.1, 0.03
"""Of such a step, one after another until the energy is less."""
ENOUGH = 0.02
"""Fall of the energy that a step to the minimum is still worth taking for."""
ANOTHER = 6.0
"""Another minimum is that many errors away along some direction at least."""
NEGLIGIBLE = 5.0
"""Of the energy: a minimum that lies higher has less than a hundredth of the draws."""
MOST_ROUNDS = 4
"""Of warm-up, for a chain that still takes much shorter steps than the others."""


@dataclass
class Chain:
    """Where a chain stands, and what it has drawn that nobody has asked for yet."""

    place: Place
    key: np.ndarray
    adaptation: Adaptation = field(default_factory=Adaptation)
    n_drawn: int = 0
    ready: deque[np.ndarray] = field(default_factory=deque)
    pace: float = np.inf
    """Seconds per draw; infinite while nothing is known."""

    @property
    def count(self) -> int:
        """How many draws to make at once."""
        return int(np.clip(PATIENCE / self.pace, 1, MOST_AT_ONCE))


class Chains:
    """Several chains of a program's posterior around the minimum next to its parameters."""

    def __init__(self, program: Program, n_chains: int, seed: int, spread: float) -> None:
        """Take the program's scene as it stands; nothing is done before `make_ready`."""
        self._dtype = program.dtype
        self._part = free_part(program)
        self._layout, self._data, self._start = self._part.layout, self._part.data, self._part.parameters
        self._n_chains, self._seed, self._spread = n_chains, seed, spread
        self._pairs = rivals(self._part, program)
        self._names = number_names(program, self._part.kept, self._start)
        self.n_divergent = self.n_steps = 0
        """Divergent trajectories and gradients, of all draws behind the warm-up."""
        self._history: list[list[np.ndarray]] = [[] for _ in range(n_chains)]
        self._pool = ThreadPoolExecutor(max(min(n_chains, os.cpu_count() or 1), 1), thread_name_prefix="chain")
        self._chains: list[Chain] | None = None
        self._angle: float | None = None
        """Of a step of any chain, once all are warm [rad]."""
        self._stopped: Callable[[], bool] = lambda: False

    # -- on the way --------------------------------------------------------------------------------------------

    def make_ready(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Go to the minimum, make coordinates and warm chains up; once `stopped` it ends early, to be called again."""
        self._stopped = stopped
        if self._chains is None:
            self._chart_minimum()
            self._chains = [Chain(self._place(z), self._key(k)) for k, z in enumerate(self._starts())]
        list(self._pool.map(self._warm, self._chains))
        for _ in range(MOST_ROUNDS - 1):
            usual = 0.5 * float(np.median([chain.adaptation.angle for chain in self._chains]))
            slow = [chain for chain in self._chains if chain.adaptation.angle < usual]
            if not slow or stopped():
                break
            for chain in slow:
                chain.adaptation = Adaptation()
            list(self._pool.map(self._warm, slow))
        if not stopped():
            # a chain that has come through a narrow place would take short steps for ever
            self._angle = float(np.median([chain.adaptation.angle for chain in self._chains]))

    def next_of(self, index: int, stopped: Callable[[], bool] = lambda: False) -> Float[np.ndarray, " number"] | None:
        """Return the next draw of a chain, and make more for all of them where none is left; None once stopped."""
        assert self._chains is not None
        self._stopped = stopped
        while not self._chains[index].ready:
            if self._stopped():
                return None
            needy = [chain for chain in self._chains if not chain.ready]
            list(self._pool.map(self._advance, needy))
        number = self._chains[index].ready.popleft()
        self._history[index].append(number)
        return number

    @property
    def draws(self) -> Float[np.ndarray, "chain draw number"]:
        """All draws so far, without bounds, of as many as every chain has."""
        n = min(map(len, self._history))
        shape = self._n_chains, n, len(self._index)
        return np.array([chain[:n] for chain in self._history]).reshape(shape)

    def diagnosis(self) -> Diagnosis:
        """Return whether the chains agree so far."""
        draws = self.draws
        return Diagnosis(
            [self._names[k] for k in self._index],
            r_hat(draws),
            bulk_ess(draws),
            self.n_divergent,
            self._n_chains,
            sum(map(len, self._history)),
        )

    @property
    def mode(self) -> Parameters:
        """The minimum next to the fit."""
        return self._part.whole(self._mode)

    def parameters(self, u: Float[np.ndarray, " number"]) -> Parameters:
        """Return the parameters that a draw stands for."""
        chart, n = self._chart, len(self._index)
        used = Chart(*(part[:n] for part in chart))
        x, _ = within(used, np.asarray(u, np.float64), np)
        return self._part.whole(self._with(np.clip(x, *self._bounds)))

    # -- preparation -------------------------------------------------------------------------------------------

    def _chart_minimum(self) -> None:
        """Find the minimum by Newton's method with a dense matrix, within bounds, and the coordinates there."""
        mode, n_all = self._start, len(numbers_of(self._start, np))
        images = tuple(o.images for o in self._data.observations)
        anchor = on_device(Anchor(mode, images))
        where = freedom(self._data, self._start)
        self._index = np.flatnonzero(numbers_of(where.free, np) > 0)
        if not len(self._index):
            raise ValueError("Nothing in the scene is free; set free what is to be sampled.")
        self._size = size_for(len(self._index))
        self._charted = Charted(self._layout, self._size)
        self._padded = np.concatenate([self._index, np.full(self._size - len(self._index), n_all)]).astype(np.int32)
        self._bounds = self._chosen(where.lower), self._chosen(where.upper)
        self._data = on_device(self._data)
        here = side_by_side(
            # the anchor's weights of what is asked stay, its models are only counted from
            lambda: self._around(mode, anchor, normal=True),
            lambda: self._compile_draws(anchor),
        )
        mode, here, self.has_settled = self._minimum(mode, here, anchor)
        self._mode = mode
        n = len(self._index)
        self._anchor = on_device(Anchor(mode, here.models))
        normal, tie = (np.asarray(part, np.float64)[:n, :n] for part in (here.normal, here.tie))
        normal, tie = 0.5 * (normal + normal.T), 0.5 * (tie + tie.T)
        self._energy = float(self._around(mode, self._anchor, normal=False).energy)
        chart, self._inverse = chart_at(self._chosen(mode), normal, *self._bounds, self._index, tie, n_all, self._dtype)
        self._chart, self._on_device = chart, on_device(chart)

    def _minimum(self, mode: Parameters, here: Around, anchor: Any) -> tuple[Parameters, Around, bool]:
        """Return the minimum next to parameters, with what is known there, and whether it was reached."""
        (lower, upper), n = self._bounds, len(self._index)
        for _ in range(MOST_STEPS):
            x = self._chosen(mode)
            normal, gradient = np.asarray(here.normal, np.float64)[:n, :n], np.asarray(here.gradient)[:n]
            held = ((x <= lower) & (gradient > 0)) | ((x >= upper) & (gradient < 0))
            step = _newton_step(normal, gradient, held, np.asarray(here.tie, np.float64)[:n, :n])
            if -0.5 * float(gradient @ step) < ENOUGH:
                return mode, here, True
            fractions = () if self._stopped() else FRACTIONS
            for fraction in fractions:
                there = self._with(np.clip(x + fraction * step, lower, upper))
                found = self._around(there, anchor, normal=False)
                if float(found.energy) < float(here.energy):
                    mode, here = there, self._around(there, anchor, normal=True)
                    break
            else:
                break
        return mode, here, False

    def _compile_draws(self, anchor: Any) -> None:
        """Have what draws compiled, by no draws of a chart of nothing."""
        size, dtype = self._size, self._dtype
        row, square = np.ones(size, dtype), np.zeros((size, size), dtype)
        chart = Chart(self._padded, row, square, row, row, row, row)
        place = Place(row, np.zeros((), dtype), row)
        numbers = np.int32(0), np.int32(0), np.zeros((), dtype)
        jax.block_until_ready(compiled_stretch(self._charted, self._data, anchor, chart, place, self._key(0), *numbers))

    def _around(self, parameters: Parameters, anchor: Any, *, normal: bool) -> Around:
        count = np.int32(len(self._index) if normal else 0)
        result: Around = compiled_around(self._charted, self._data, parameters, anchor, self._padded, count)
        return result

    def _chosen(self, parameters: Parameters) -> Float[np.ndarray, " number"]:
        return np.asarray(numbers_of(as_numpy(parameters), np)[self._index], np.float64)

    def _with(self, x: Float[np.ndarray, " number"]) -> Parameters:
        numbers = np.asarray(numbers_of(self._start, np), np.float64)
        numbers[self._index] = x
        return with_numbers(self._start, numbers)

    def _starts(self) -> list[Float[np.ndarray, " coordinate"]]:
        rng = np.random.default_rng([self._seed, self._n_chains])
        starts = [self._spread * rng.standard_normal(self._size) for _ in range(self._n_chains)]
        for start in self._exchanged() if len(starts) > 1 else ():
            x, n = self._other_minimum(start), len(self._index)
            if x is None:
                continue
            u, _ = without_bounds(x, *self._bounds, np.asarray(self._chart.scale[:n], np.float64))
            other = self._inverse @ (u - self._chart.origin[:n])
            if np.abs(other).max() > ANOTHER:
                starts[-1] /= max(self._spread, 1.0)
                starts[-1][: len(other)] += other
                break
        return starts

    def _other_minimum(self, start: Parameters) -> Float[np.ndarray, " number"] | None:
        """Return the numbers of the minimum next to a start; None where none was reached that counts."""
        here = self._around(start, self._anchor, normal=True)
        mode, here, has_settled = self._minimum(start, here, self._anchor)
        counts = has_settled and float(here.energy) - self._energy < NEGLIGIBLE
        return self._chosen(mode) if counts else None

    def _exchanged(self) -> list[Parameters]:
        """Return the minimum with the fluxes of two rivals exchanged, and with their places, too."""
        if self._pairs is None:
            return []
        (group, slot), (other, place) = self._pairs
        groups = [g._replace(flux=np.array(g.flux), theta=np.array(g.theta)) for g in self._mode.groups]
        one, two = groups[group], groups[other]
        one.flux[slot], two.flux[place] = two.flux[place].copy(), one.flux[slot].copy()
        fluxes = self._kept_free(self._mode._replace(groups=tuple(g._replace(flux=g.flux.copy()) for g in groups)))
        origins = [np.asarray(d.origin) for d in self._data.groups]
        apart = origins[other][place] - origins[group][slot]
        theirs, mine = two.theta[place, :2] + apart, one.theta[slot, :2] - apart
        one.theta[slot, :2], two.theta[place, :2] = theirs, mine
        return [fluxes, self._kept_free(self._mode._replace(groups=tuple(groups)))]

    def _kept_free(self, parameters: Parameters) -> Parameters:
        """Return parameters of which only what is free has changed, within its bounds."""
        return self._with(np.clip(self._chosen(parameters), *self._bounds))

    def _place(self, z: Float[np.ndarray, " coordinate"]) -> Place:
        """Return a start with its density; where that is nothing, a nearer one."""
        z = np.asarray(z, np.float64)
        for _ in range(20):
            place = self._seen(z)
            if np.isfinite(place.log_density) and np.all(np.isfinite(place.slope)):
                return place
            z = 0.7 * z
        raise ValueError("The posterior has no density around the fit; fit the scene on, or hold what it cannot tell.")

    def _seen(self, z: Float[np.ndarray, " coordinate"]) -> Place:
        chart, n = self._chart, len(self._index)
        used = np.any(chart.matrix != 0, axis=0)
        u = np.asarray(chart.origin + chart.matrix @ z, np.float64)
        x, log_slope = within(chart, u, np)
        about = self._around(self._with(x[:n]), self._anchor, normal=False)
        # the slope of c and of its logarithm, by small differences
        step = 1e-4 * chart.scale
        (x_more, slope_more), (x_less, slope_less) = (within(chart, u + sign * step, np) for sign in (1, -1))
        of_x, of_slope = (x_more - x_less) / (2 * step), (slope_more - slope_less) / (2 * step)
        slope_u = -np.asarray(about.gradient, np.float64) * of_x + chart.share * of_slope
        idle = np.where(used, 0.0, z)
        value = -float(about.energy) + float(np.sum(chart.share * log_slope)) - 0.5 * float(idle @ idle)
        parts = z, np.asarray(value), chart.matrix.T @ slope_u - idle
        return Place(*(np.asarray(part, self._dtype) for part in parts))

    def _key(self, index: int) -> np.ndarray:
        return np.random.default_rng([self._seed, self._n_chains, index]).integers(0, 2**32, 2, dtype=np.uint32)

    # -- chains ------------------------------------------------------------------------------------------------

    def _warm(self, chain: Chain) -> None:
        adaptation = chain.adaptation
        while adaptation.count < WARMUP and not self._stopped():
            piece = self._stretch(chain, 1)
            adaptation.learn(float(np.nan_to_num(piece.acceptance[0])))
            if adaptation.count == WARMUP:
                adaptation.settle()

    def _advance(self, chain: Chain) -> None:
        count = chain.count
        piece = self._stretch(chain, count)
        n = len(self._index)
        positions = np.asarray(piece.positions, np.float64)[:count]
        us = self._chart.origin[:n] + positions @ np.asarray(self._chart.matrix[:n], np.float64).T
        self.n_divergent += int(np.sum(piece.diverged))
        self.n_steps += int(np.sum(piece.steps))
        chain.ready.extend(us)

    def _stretch(self, chain: Chain, count: int) -> Stretch:
        started = perf_counter()
        angle = np.asarray(chain.adaptation.angle if self._angle is None else self._angle, self._dtype)
        numbers = np.int32(chain.n_drawn), np.int32(count)
        given = self._data, self._anchor, self._on_device, chain.place, chain.key, *numbers, angle
        piece = compiled_stretch(self._charted, *given)
        acceptance = jax.block_until_ready(piece.acceptance)
        chain.place, chain.n_drawn = piece.place, chain.n_drawn + count
        chain.pace = (perf_counter() - started) / count
        return piece._replace(acceptance=np.asarray(acceptance))

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _newton_step(
    normal: np.ndarray, gradient: np.ndarray, held: np.ndarray, tie: np.ndarray
) -> Float[np.ndarray, " number"]:
    """Return where the quadratic model of the energy is least, for what is not held."""
    free = ~held
    unit = 1.0 / np.sqrt(np.maximum(np.diagonal(normal), 1e-30))
    scaled = unit[:, None] * normal * unit[None, :]
    scaled = np.where(np.outer(free, free), scaled, 0.0) + np.diag(np.where(free, 1e-6, 1.0))
    step = -unit * np.linalg.lstsq(scaled, np.where(free, unit * gradient, 0.0), rcond=None)[0]
    result: np.ndarray = np.where(free, tie @ step, 0.0)
    return result


def rivals(part: FreePart, program: Program) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return group and slot of the two sources of free fluxes that are nearest to each other, measured by their boxes;
    None where no two overlap."""
    members = program.members
    slots = [
        (source, (group, place))
        for group, (number, kept) in enumerate(part.kept)
        for place, slot in enumerate(kept)
        for source, index in members[number][slot : slot + 1]
        if source.components[index].spectrum.is_free and len(source.components) == 1
    ]
    best, least = None, 1.0
    for k, (one, place) in enumerate(slots):
        for other, other_place in slots[k + 1 :]:
            apart = np.hypot(one.x - other.x, one.y - other.y) / max(min(one.radius, other.radius), 1)
            if apart < least:
                best, least = (place, other_place), float(apart)
    return best

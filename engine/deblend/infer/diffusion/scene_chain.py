"""A chain of scenes under a learned prior: pictures of all galaxies at once by diffusion, then all spectra given them.

These are the two halves of a Gibbs sampler (Geman & Geman 1984): pictures given spectra are drawn by the reverse of
diffusion through the renderer of all telescopes, spectra given pictures from a Gaussian between bounds. Where a galaxy
lies is in its picture and drawn with it. Stars, and sources whose shape is held, are drawn with their fluxes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from deblend.infer.diffusion.guidance import Problem, Rule, Solution
from deblend.infer.diffusion.known_prior import KnownPrior
from deblend.infer.diffusion.nearness import Nearness, orthogonal_modes, seen_one_by_one
from deblend.infer.diffusion.sampling import Diffusion, DiffusionSettings
from deblend.infer.diffusion.scene_map import SeenPictures, rooted
from deblend.infer.diffusion.spectra import drawn_fluxes
from deblend.program import Program
from deblend.program.flux_problem import flux_problem

MOST_MODES = 256
"""Of the preconditioner, all galaxies together."""
MOST_NUMBERS = 150_000_000
"""Of what is kept of columns and modes as the data see them."""
DRAW_STEPS, PREVIEW_STEPS = 18, 8
SOLUTION = Solution(1e-3, 60)


@dataclass(frozen=True, eq=False)
class Standing:
    """Where a chain stands."""

    pictures: Float[np.ndarray, "source y x"]
    """Of those drawn, brightest pixel about 1."""
    amplitudes: Float[np.ndarray, "source channel"]
    """Of those drawn, in units of the noise per unit of picture."""
    others: Float[np.ndarray, "part channel"]
    """Fluxes of all other components, in units of the noise."""


class SceneChain:
    """Pictures and spectra of a scene in turn."""

    def __init__(self, program: Program, seen: SeenPictures, known: KnownPrior, seed: int) -> None:
        """Begin at the fit.

        `program` holds the fitted scene, of which `seen` are the pictures.
        """
        self._known, self._seed, self._operator = known, seed, seen.operator
        self._shapes = [part.shape for part in seen.data]
        flux, free, lower, upper, _ = flux_problem(program.scene, program.noise, False, None)
        rows = {source.id: k for k, (source, _) in enumerate(program.parts)}
        drawn = np.array([rows[id_] for id_ in seen.sources])
        self.other_rows = np.array([k for k in range(len(program.parts)) if k not in set(drawn)], int)
        """Of all components, which are not drawn as pictures."""
        amplitudes = np.asarray(seen.amplitudes / program.noise, np.float64)
        self.standing = Standing(np.asarray(seen.fitted, np.float32), amplitudes, flux[self.other_rows])
        order = np.concatenate([drawn, self.other_rows])
        self._free = free[order]
        # bounds of fluxes hold for amplitudes, whose pictures have about the same sum: those that are used are 0 and ∞
        scale = np.ones((len(order), 1))
        scale[: len(drawn), 0] = seen.fitted.sum(axis=(1, 2))
        self._bounds = lower[order] / scale, upper[order] / scale
        columns = program.columns()
        self._columns = tuple(
            np.stack([np.asarray(rooted(o, columns[row][k].on(shape))) for row in self.other_rows])
            if len(self.other_rows)
            else np.zeros((0, *shape), np.float32)
            for k, (o, shape) in enumerate(zip(seen.operator.problem.observations, self._shapes, strict=True))
        )
        # all light that fluxes decide about
        self._data = tuple(
            np.asarray(part) + light
            for part, light in zip(seen.data, self._light_of_others(self.standing.others), strict=True)
        )
        self._unit = jax.tree.map(jnp.asarray, seen.operator.lit(jnp.ones(amplitudes.shape, jnp.float32)))
        self._modes, self._share = self._chosen_modes()
        self._seen_modes = _seen(self._unit, self._modes)
        self._running: Diffusion | None = None

    def preview(self, stopped: Callable[[], bool]) -> Standing | None:
        """Go on to a first scene, quickly, with the covariance of the prior's Gaussian; None once stopped."""
        settings = DiffusionSettings(Rule.JFPS, steps=PREVIEW_STEPS, solution=SOLUTION)
        return self._advanced(-1, settings, stopped)

    def draw(self, number: int, stopped: Callable[[], bool]) -> Standing | None:
        """Return the next scene of the chain; None once stopped: what was begun is gone on with then."""
        return self._advanced(number, DiffusionSettings(Rule.JFPS, steps=DRAW_STEPS, solution=SOLUTION), stopped)

    def _advanced(self, number: int, settings: DiffusionSettings, stopped: Callable[[], bool]) -> Standing | None:
        if self._running is None:
            # the preview has random numbers behind those of any draw
            place = number if number >= 0 else 2**31 - 1
            self._running = Diffusion(self._problem(), settings, place + 1, self._seed)
            self._running.n_done = place
        for stage in self._running:
            if stage.is_draw:
                self._running = None
                self.standing = self._with_spectra(stage.pictures, np.random.default_rng([self._seed, number + 1, 77]))
                return self.standing
            if stopped():
                return None
        return None

    def _problem(self) -> Problem:
        amplitudes = jnp.asarray(self.standing.amplitudes, jnp.float32)
        light = self._light_of_others(self.standing.others)
        data = tuple(jnp.asarray(part - own, jnp.float32) for part, own in zip(self._data, light, strict=True))
        nearness = _nearness(self._seen_modes, self._share, amplitudes)
        return Problem(self._known.prior, self._unit.lit(amplitudes), data, self._known.reference, nearness)

    def _with_spectra(self, pictures: Float[np.ndarray, "source y x"], rng: np.random.Generator) -> Standing:
        """Return these pictures with a draw of all spectra given them."""
        own = _seen(self._unit, jnp.asarray(pictures)[:, None])
        columns = [np.concatenate([np.asarray(a[:, 0]), b]) for a, b in zip(own, self._columns, strict=True)]
        gram = [np.einsum("pbyx,qbyx->bpq", c, c, dtype=np.float64, optimize=True) for c in columns]
        right = [
            np.einsum("pbyx,byx->bp", c, d, dtype=np.float64, optimize=True)
            for c, d in zip(columns, self._data, strict=True)
        ]
        present = np.concatenate([self.standing.amplitudes, self.standing.others])
        drawn = drawn_fluxes(np.concatenate(gram), np.concatenate(right), present, self._free, self._bounds, rng)
        n = len(pictures)
        return Standing(pictures, drawn[:n], drawn[n:])

    def _light_of_others(self, fluxes: Float[np.ndarray, "part channel"]) -> list[Float[np.ndarray, "band y x"]]:
        light, first = [], 0
        for columns, shape in zip(self._columns, self._shapes, strict=True):
            bands = slice(first, first + shape[0])
            light.append(np.einsum("pb,pbyx->byx", fluxes[:, bands].astype(np.float32), columns))
            first = bands.stop
        return light

    def _chosen_modes(self) -> tuple[Float[jax.Array, "source mode y x"], Float[jax.Array, " mode"]]:
        """Return the modes of the prior's Gaussian that are followed, of every source, with their variance."""
        n, size = len(self.standing.pictures), sum(int(np.prod(shape)) for shape in self._shapes)
        reference = self._known.reference
        rank = min(len(reference.modes), max(MOST_MODES // n, 4), max(MOST_NUMBERS // (n * size), 4))
        modes, share = orthogonal_modes(np.asarray(reference.modes), rank)
        return jnp.tile(jnp.asarray(modes)[None], (n, 1, 1, 1)), jnp.asarray(share)


_seen = eqx.filter_jit(seen_one_by_one)
_nearness = eqx.filter_jit(Nearness.of)

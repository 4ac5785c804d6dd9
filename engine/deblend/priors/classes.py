"""Size classes of galaxies: means and covariances of pictures of flux 1, learned from a population, kept in a file.

The covariance of a class is C = D + L Lᵀ: a diagonal, and the modes in which galaxies differ most relative to what the
diagonal allows anyway. Galaxies come in any orientation, so that reflections and transposition do not change C. Modes
are then even or odd in y and in x, and one quadrant tells all of them; those that are odd along one axis come in pairs,
each one the other's transpose. So learning from a picture is learning from its eight symmetries, at the cost of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.priors.population import SHARES, pictures
from deblend.replacing import replacing
from deblend.scene.learned import LEARNED_RADII, LEARNED_REACH, LEARNED_SIGMA, N_MODES

SIDE = 2 * LEARNED_REACH + 1
"""Of the pictures that classes are learned from [pix]."""
CENTER_JITTER = 0.12
"""How far off galaxies lie that classes are learned from, per axis [pix]."""
RELATIVE_SCATTER = 0.08
"""Of every pixel besides what was learned, relative to the mean there: the population is not the sky's."""
FLOOR = 2e-5
"""The same, of the flux."""
STORED_UNIT = 1e-3
"""Numbers of the file are in thousandths of the flux: half precision has no smaller ones."""
PARITIES = ((0, 0), (1, 1), (0, 1))
"""Odd in (y, x); the last one stands for its transpose, too."""
PACKAGED = "galaxies.npz"


@dataclass(frozen=True, eq=False)
class SizeClass:
    """Galaxies of about one size."""

    mean: Float[np.ndarray, "side side"]
    modes: Float[np.ndarray, "mode side side"]
    """L, in an order and rotation in which Lᵀ D⁻¹ L is diagonal and falls."""
    spread: Float[np.ndarray, "side side"]
    """√D."""

    @property
    def weight(self) -> Float[np.ndarray, " mode"]:
        """The diagonal of Lᵀ D⁻¹ L: how well the pixels of a picture tell each mode."""
        result: Float[np.ndarray, " mode"] = np.sum((self.modes / self.spread) ** 2, axis=(1, 2))
        return result

    def covariance(self) -> Float[np.ndarray, "pixel pixel"]:
        """Return C; large."""
        flat = self.modes.reshape(len(self.modes), -1)
        return flat.T @ flat + np.diag(self.spread.ravel() ** 2)

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "side side"]:
        """Return a picture as the class believes in them."""
        noise = self.spread * rng.normal(size=self.spread.shape)
        return self.mean + np.tensordot(rng.normal(size=len(self.modes)), self.modes, axes=1) + noise

    def log_density(self, picture: Float[np.ndarray, "side side"]) -> float:
        """Return the logarithm of the density of a picture [nats]."""
        off = (picture - self.mean) / self.spread
        along = np.tensordot(self.modes / self.spread, off, axes=2)
        square = np.sum(off**2) - np.sum(along**2 / (1.0 + self.weight))
        volume = 2.0 * np.sum(np.log(self.spread)) + np.sum(np.log1p(self.weight))
        return float(-0.5 * (square + volume + off.size * np.log(2.0 * np.pi)))

    def denoised(self, picture: Float[np.ndarray, "side side"], sigma: float) -> Float[np.ndarray, "side side"]:
        """Return E[x | x + σ z = picture] for x of this class and standard normal z, exactly."""
        total = self.spread**2 + sigma**2
        off = picture - self.mean
        gram = np.einsum("kyx,lyx->kl", self.modes / total, self.modes)
        along = np.linalg.solve(np.eye(len(gram)) + gram, np.tensordot(self.modes / total, off, axes=2))
        # the noise is what is left of the picture after C (C + σ²)⁻¹
        noise = sigma**2 / total * (off - np.tensordot(along, self.modes, axes=1))
        return picture - noise


def radii_of(number: int) -> tuple[float, float]:
    """Return the range of half-light radii of a size class, model PSF included [pix]."""
    half_step = (LEARNED_RADII[1] / LEARNED_RADII[0]) ** 0.5
    return LEARNED_RADII[number] / half_step, LEARNED_RADII[number] * half_step


def members(number: int, seed: int) -> Iterator[Float[np.ndarray, "side side"]]:
    """Yield galaxies of a size class without end."""
    return pictures(seed + number, SIDE, LEARNED_SIGMA, radii_of(number), jitter=CENTER_JITTER)


# -- learning --------------------------------------------------------------------------------------------------


def learn(per_class: int, seed: int, progress: Callable[[int, int], Any] | None = None) -> list[SizeClass]:
    """Return all size classes, from so many galaxies each.

    `progress` is called with how many galaxies have been taken, and how many there will be.
    """
    result = []
    for number in range(len(LEARNED_RADII)):
        moments = _Moments()
        for picture in islice(members(number, seed), per_class):
            moments.add(picture)
            if progress is not None:
                progress(per_class * number + moments.count, per_class * len(LEARNED_RADII))
        result.append(moments.size_class())
    return result


class _Moments:
    """Sums over the galaxies of a class, on a quadrant of every parity."""

    def __init__(self) -> None:
        n = SIDE // 2 + 1
        self.count = 0
        self._sum = np.zeros((n, n))
        self._waiting: list[np.ndarray] = []
        self._squares = [np.zeros((n * n, n * n)) for _ in PARITIES]

    def add(self, picture: Float[np.ndarray, "side side"]) -> None:
        self.count += 1
        self._waiting.append(picture)
        if len(self._waiting) == 500:
            self._take()

    def _take(self) -> None:
        stack, self._waiting = np.array(self._waiting).reshape(-1, SIDE, SIDE), []
        n = SIDE // 2 + 1
        for parity, square in zip(PARITIES, self._squares, strict=True):
            part, other = quadrant(stack, parity), quadrant(stack, parity[::-1]).transpose(0, 2, 1)
            if parity == (0, 0):
                self._sum += 0.5 * (part + other).sum(axis=0)
            for each in (part, other):
                flat = each.reshape(-1, n * n)
                square += 0.5 * flat.T @ flat

    def size_class(self) -> SizeClass:
        self._take()
        n = SIDE // 2 + 1
        mean = self._sum / self.count
        diagonal = RELATIVE_SCATTER**2 * mean**2 + FLOOR**2
        root = np.sqrt(diagonal).ravel()
        found: list[tuple[float, int, np.ndarray]] = []
        variance = np.zeros((n, n))
        for k, (parity, square) in enumerate(zip(PARITIES, self._squares, strict=True)):
            # on a quadrant a pixel stands for up to four: their number is part of the metric
            times = np.sqrt(multiplicity(n)).ravel()
            covariance = square / self.count - (np.outer(mean, mean) if parity == (0, 0) else 0.0)
            own = np.diag(covariance).reshape(n, n)
            variance += own + (own.T if parity == (0, 1) else 0.0)
            values, vectors = np.linalg.eigh(covariance * np.outer(times / root, times / root))
            modes = (vectors * np.sqrt(np.maximum(values, 0.0))).T * (root / times)
            found += [(float(value), k, mode.reshape(n, n)) for value, mode in zip(values, modes, strict=True)]
        chosen = _most_important(found)
        for _, k, mode in chosen:
            variance -= mode**2 + (mode.T**2 if PARITIES[k] == (0, 1) else 0.0)
        spread = np.sqrt(diagonal + np.maximum(0.5 * (variance + variance.T), 0.0))
        parts = [(k, np.array([mode for _, j, mode in chosen if j == k]).reshape(-1, n, n)) for k in range(3)]
        return _assembled(mean, parts, spread)


def _most_important(found: list[tuple[float, int, np.ndarray]]) -> list[tuple[float, int, np.ndarray]]:
    """Return the modes that tell most, pairs counting twice, `N_MODES` in all."""
    chosen, left = [], N_MODES
    for item in sorted(found, key=lambda item: -item[0]):
        size = 2 if PARITIES[item[1]] == (0, 1) else 1
        if size <= left:
            chosen.append(item)
            left -= size
        if left == 0:
            break
    return chosen


def multiplicity(n: int) -> Float[np.ndarray, "n n"]:
    """Return how many pixels each one of a quadrant stands for."""
    line = np.where(np.arange(n) == 0, 1.0, 2.0)
    return line[:, None] * line


def quadrant(stack: Float[np.ndarray, "*stack side side"], parity: tuple[int, int]) -> Float[np.ndarray, "*stack n n"]:
    """Return the lower right quadrant, middle lines included, of the part of pictures that has this parity."""
    middle = stack.shape[-1] // 2
    for axis, odd in zip((-2, -1), parity, strict=True):
        stack = 0.5 * (stack + (-1.0) ** odd * np.flip(stack, axis=axis))
    return stack[..., middle:, middle:]


def unfolded(part: Float[np.ndarray, "*stack n n"], parity: tuple[int, int]) -> Float[np.ndarray, "*stack side side"]:
    """Return whole pictures of a parity from their quadrants."""
    for axis, odd in zip((-2, -1), parity, strict=True):
        rest = np.flip(np.take(part, range(1, part.shape[axis]), axis=axis), axis=axis)
        part = np.concatenate([(-1.0) ** odd * rest, part], axis=axis)
    return part


def _assembled(mean: np.ndarray, parts: list[tuple[int, np.ndarray]], spread: np.ndarray) -> SizeClass:
    """Return a class from quadrants of its mean, of its modes by parity, and of its spread."""
    whole = unfolded(spread, (0, 0))
    modes = []
    for k, quadrants in parts:
        full = unfolded(quadrants, PARITIES[k])
        # within a parity the Gaussian does not change when modes are rotated: take those that are told apart
        flat = (full / whole).reshape(len(full), -1)
        _, rotation = np.linalg.eigh(flat @ flat.T)
        full = np.tensordot(rotation.T, full, axes=1)
        modes.append(full)
        if PARITIES[k] == (0, 1):
            modes.append(full.transpose(0, 2, 1))
    stacked = np.concatenate(modes)
    order = np.argsort(-np.sum((stacked / whole) ** 2, axis=(1, 2)), kind="stable")
    return SizeClass(unfolded(mean, (0, 0)), stacked[order], whole)


# -- the file --------------------------------------------------------------------------------------------------


def write(path: Path, classes: list[SizeClass], card: dict[str, Any]) -> None:
    """Write classes in half precision, and beside them what is to be known of them, as JSON."""
    arrays: dict[str, np.ndarray] = {}
    for number, each in enumerate(classes):
        arrays[f"mean_{number}"] = quadrant(each.mean, (0, 0))
        arrays[f"spread_{number}"] = quadrant(each.spread, (0, 0))
        for k, parity in enumerate(PARITIES):
            quadrants = quadrant(each.modes, parity)
            energy = np.sum(quadrants**2 * multiplicity(quadrants.shape[-1]), axis=(1, 2))
            own = energy > 0.5 * np.sum(each.modes**2, axis=(1, 2))
            arrays[f"modes_{number}_{k}"] = quadrants[own]
    stored: dict[str, Any] = {name: (a / STORED_UNIT).astype(np.float16) for name, a in arrays.items()}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **stored)
    with replacing(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(card, indent=2) + "\n")


def read(path: Path) -> list[SizeClass]:
    """Read classes that `write` wrote; raises ValueError where the file is another one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: STORED_UNIT * file[name].astype(np.float64) for name in file.files}
        numbers = range(len(LEARNED_RADII))
        result = [
            _assembled(arrays[f"mean_{i}"], [(k, arrays[f"modes_{i}_{k}"]) for k in range(3)], arrays[f"spread_{i}"])
            for i in numbers
        ]
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: these are no learned galaxies ({error}); make them by scripts/learn_galaxies.py."
        ) from error
    if any(each.modes.shape != (N_MODES, *result[0].mean.shape) for each in result):
        raise ValueError(f"{path}: classes need {N_MODES} modes each; make the file anew by scripts/learn_galaxies.py.")
    return result


@lru_cache(maxsize=1)
def learned_classes() -> tuple[SizeClass, ...]:
    """Return the size classes that come with the package."""
    return tuple(read(Path(str(files("deblend.priors") / PACKAGED))))


def card_of(per_class: int, seed: int, held_out: list[float]) -> dict[str, Any]:
    """Return what is to be known of learned classes: what they are made of, and how well they do."""
    return {
        "name": "galaxies",
        "what": "Gaussian prior of galaxies of flux 1 per size class: mean, 64 modes and a diagonal",
        "made_by": f"python scripts/learn_galaxies.py --per-class {per_class} --seed {seed}",
        "data": "generator of deblend.priors.population; no image of the sky",
        "shares": SHARES,
        "galaxies_per_class": per_class,
        "seed": seed,
        "symmetries": 8,
        "side_pix": SIDE,
        "model_psf_sigma_pix": LEARNED_SIGMA,
        "half_light_radii_pix": [round(radius, 3) for radius in LEARNED_RADII],
        "center_jitter_pix": CENTER_JITTER,
        "added_scatter": {"relative": RELATIVE_SCATTER, "of_flux": FLOOR},
        "modes": N_MODES,
        "held_out_nats_per_pixel": [round(value, 4) for value in held_out],
        "numbers": f"float16, in units of {STORED_UNIT} of the flux; a quadrant of every parity",
        "license": "BSD-3-Clause",
    }

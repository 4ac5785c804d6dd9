"""Stamps to learn from: galaxies of the seeded generator, or of a file; brightest pixel 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.guard import AnyPath, check_headers, reason_of
from deblend.priors.population import pictures
from deblend.scene.learned import LEARNED_SIGMA

RADII_OF_SIDE = (0.038, 0.19)
"""Range of half-light radii, PSF included, of galaxies that are drawn for a stamp [its side]."""
CENTER_JITTER = 0.3
"""How far off the middle galaxies lie, per axis [pix]: detection places them about so well."""
HELD_OUT_SHARE = 0.1
LEAST_STAMPS = 32


@dataclass(frozen=True, eq=False)
class Stamps:
    """What to learn from, and what to be tried on."""

    learn: Float[np.ndarray, "stamp wide wide"]
    """With a row and a column more than the network takes, where the middle pixel is to stay the middle in mirrors."""
    held_out: Float[np.ndarray, "stamp side side"]
    about: str
    """Where they come from, in words."""

    @property
    def side(self) -> int:
        return self.held_out.shape[-1]

    @property
    def fingerprint(self) -> str:
        """What tells these stamps from others."""
        digest = sha256()
        for array in (self.learn, self.held_out):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        return digest.hexdigest()[:16]

    def batch(self, rng: np.random.Generator, n: int) -> Float[np.ndarray, "n side side"]:
        """Return some of the stamps to learn from, turned and mirrored at random."""
        chosen = self.learn[rng.integers(len(self.learn), size=n)]
        for flip, axis in zip(rng.random((2, n)) < 0.5, (1, 2), strict=True):
            chosen[flip] = np.flip(chosen[flip], axis)
        across = rng.random(n) < 0.5
        chosen[across] = chosen[across].transpose(0, 2, 1)
        return chosen[:, : self.side, : self.side]


def generated_stamps(
    side: int,
    n: int,
    seed: int,
    progress: Callable[[int], object] | None = None,
    radii_of_side: tuple[float, float] = RADII_OF_SIDE,
    jitter: float = CENTER_JITTER,
) -> Stamps:
    """Return galaxies of the generator behind the model PSF; the same ones for the same arguments.

    `progress` is called with how many have been drawn; `radii_of_side` are their least and largest half-light radius
    [side], and `jitter` is how far off the middle they lie, per axis [pix].
    """
    wide = side + 1
    radii = (radii_of_side[0] * side, radii_of_side[1] * side)
    n_held_out = max(round(HELD_OUT_SHARE * n), LEAST_STAMPS)
    parts = []
    for own_seed, count, done in ((seed, n, 0), (seed + 1_000_000, n_held_out, n)):
        stamps = np.empty((count, wide, wide), np.float32)
        drawn = pictures(own_seed, wide, LEARNED_SIGMA, radii, jitter=jitter)
        for k, picture in enumerate(islice(drawn, count)):
            stamps[k] = picture / picture.max()
            if progress is not None:
                progress(done + k + 1)
        parts.append(stamps)
    low, high = (round(radius, 2) for radius in radii)
    about = (
        f"{n} galaxies of the generator of deblend.priors.population, seed {seed}: half-light radii {low} to {high} "
        f"pix, Gaussian PSF of σ = {LEARNED_SIGMA} pix, off center by {jitter} pix; no image of the sky"
    )
    return Stamps(parts[0], parts[1][:, :side, :side], about)


def every_way(stamps: Float[np.ndarray, "stamp side side"]) -> Float[np.ndarray, "stamp side side"]:
    """Return stamps in all eight ways to turn and mirror them about their middle pixel, the row without a twin left."""
    inner = np.zeros((8, *stamps.shape), stamps.dtype)
    k = 0
    for across in (stamps, stamps.transpose(0, 2, 1)):
        for rows in (across, np.roll(across[:, ::-1], 1, axis=1)):
            for turned in (rows, np.roll(rows[:, :, ::-1], 1, axis=2)):
                inner[k] = turned
                k += 1
    return inner.reshape(-1, *stamps.shape[1:])


def read_stamps(path: AnyPath, seed: int) -> Stamps:
    """Return stamps of a file: a NumPy array or a FITS cube (stamp, y, x), each of one galaxy, noise-free.

    Raises
    ------
    ValueError
        In one sentence, where the file cannot be learned from.
    """
    path = Path(path)
    cube = _read_cube(path)
    if cube.ndim != 3 or cube.shape[1] != cube.shape[2]:
        raise ValueError(f"{path}: stamps must be a cube (stamp, y, x) of square stamps, got the shape {cube.shape}.")
    if len(cube) < LEAST_STAMPS:
        raise ValueError(f"{path}: {len(cube)} stamps are too few to learn from; give at least {LEAST_STAMPS}.")
    if not np.all(np.isfinite(cube)):
        raise ValueError(f"{path}: stamps hold numbers that are not finite; replace or drop these stamps.")
    peak = cube.max(axis=(1, 2))
    if np.any(peak <= 0):
        raise ValueError(f"{path}: stamp {int(np.argmin(peak))} has no light; drop it.")
    wide = cube.shape[1]
    side = wide - wide % 4
    if wide % 4 > 1:
        raise ValueError(f"{path}: stamps are {wide} pixels wide; cut them to a multiple of 4, or one pixel more.")
    cube = np.asarray(cube / peak[:, None, None], np.float32)
    order = np.random.default_rng(seed).permutation(len(cube))
    n_held_out = max(round(HELD_OUT_SHARE * len(cube)), 2)
    held_out = cube[order[:n_held_out], :side, :side]
    return Stamps(cube[order[n_held_out:]], held_out, f"{len(cube)} stamps of {path.name}")


def read_observed(path: Path) -> Float[np.ndarray, "stamp side side"]:
    """Return stamps as a telescope saw them, of a NumPy array or a FITS cube (stamp, y, x), in its unit; the galaxy is
    on the middle pixel, side // 2.

    Raises
    ------
    ValueError
        In one sentence, where the file cannot be learned from.
    """
    cube = _read_cube(path)
    if cube.ndim != 3 or cube.shape[1] != cube.shape[2]:
        raise ValueError(f"{path}: stamps must be a cube (stamp, y, x) of square stamps, got the shape {cube.shape}.")
    if cube.shape[1] % 4:
        raise ValueError(f"{path}: stamps are {cube.shape[1]} pixels wide; cut them to a multiple of 4.")
    if len(cube) < LEAST_STAMPS:
        raise ValueError(f"{path}: {len(cube)} stamps are too few to learn from; give at least {LEAST_STAMPS}.")
    if not np.all(np.isfinite(cube)):
        raise ValueError(f"{path}: stamps hold numbers that are not finite; replace or drop these stamps.")
    return cube


def read_image(path: Path) -> Float[np.ndarray, "y x"]:
    """Return an image of NumPy (.npy) or FITS; raises ValueError, in one sentence, where there is none."""
    return _read(path, 2, "image")


def _read_cube(path: Path) -> np.ndarray:
    return _read(path, 3, "cube of stamps")


def _read(path: Path, n_axes: int, what: str) -> np.ndarray:
    from astropy.io import fits

    try:
        if path.suffix == ".npy":
            # mapped: a file that is shorter than its header says is refused before there is memory for it
            found = [np.load(path, mmap_mode="r", allow_pickle=False)]
        else:
            with path.open("rb") as file:
                check_headers(path, file)
            with fits.open(path) as hdus:
                found = [np.array(hdu.data) for hdu in hdus if getattr(hdu.data, "ndim", 0) == n_axes]
    except Exception as error:  # the readers raise whatever their parsers do
        raise ValueError(f"{path}: this is no {what}, of NumPy (.npy) or FITS ({reason_of(error)}).") from error
    if not found or (n_axes == 2 and found[0].ndim != 2):
        raise ValueError(f"{path}: it holds no {what} (an array of {n_axes} axes).")
    if found[0].dtype.kind not in "fiu":
        raise ValueError(f"{path}: it holds no numbers but {found[0].dtype}.")
    return np.array(found[0], np.float64)

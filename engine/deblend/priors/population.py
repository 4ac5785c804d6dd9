"""Galaxies as they may be, drawn at random: ellipticals, disks with bulges, spiral arms and knots, irregulars.

Lengths are in units of the disk's half-light radius. Everything comes from one seeded generator and from nothing else,
so that what is learned from it can be learned anew, and nothing that another program found on the sky is in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import gammainc, gammaincinv

from deblend.priors.gaussians import Gaussians, round_blobs, sersic

PARTS = ("bulge", "disk", "arms", "knots")
BULGE, DISK, ARMS, KNOTS = range(4)
SHARES = {"elliptical": 0.15, "disk": 0.5, "irregular": 0.35}
"""How often each kind of galaxy is drawn."""
SEEING = 1.5
"""A galaxy's center is where it is brightest at this blur [pix]: where a detection places it."""
LEAST_SIZE = 0.05
"""[pix]"""
THICKNESS = 0.15
"""Of a disk seen from its edge."""
FURTHEST_KNOT = 1.8
"""Of knots from the middle of their disk [half-light radii of the disk]: what lies further out is a source of its
own."""


def draw_galaxy(rng: np.random.Generator, kind: str | None = None) -> Gaussians:
    """Return a galaxy of flux 1, in a random position angle; `kind` is one of `SHARES`, or any of them."""
    if kind is None:
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    galaxy = {"elliptical": _elliptical, "disk": _disk_galaxy, "irregular": _irregular}[kind](rng)
    return galaxy.mapped(_turn(rng.uniform(0, 2 * np.pi))).scaled_to(1.0)


def draw_picture(
    rng: np.random.Generator,
    side: int,
    psf_sigma: float,
    radii: tuple[float, float],
    kind: str | None = None,
    jitter: float = 0.0,
) -> Float[np.ndarray, "side side"]:
    """Return a galaxy on a box of odd side, of sum 1, with its center on the middle pixel.

    Parameters
    ----------
    psf_sigma
        Width of the Gaussian PSF, pixels included [pix].
    radii
        Range of half-light radii behind that PSF, about uniform in the logarithm [pix].
    jitter
        Standard deviation of how far off the middle the center lies, per axis [pix].
    """
    galaxy = draw_galaxy(rng, kind)
    radius = float(np.exp(rng.uniform(*np.log(radii))))
    size = max(galaxy.size_for(radius, psf_sigma), LEAST_SIZE)
    y, x = galaxy.mode(SEEING / size)
    galaxy = galaxy.shifted(-y, -x)
    off_y, off_x = jitter * rng.normal(size=2)
    picture = galaxy.drawn(side, max(galaxy.size_for(radius, psf_sigma), LEAST_SIZE), psf_sigma, (off_y, off_x))
    return picture / picture.sum()


def pictures(
    seed: int, side: int, psf_sigma: float, radii: tuple[float, float], kind: str | None = None, jitter: float = 0.0
) -> Iterator[Float[np.ndarray, "side side"]]:
    """Yield pictures without end; the same ones for the same arguments. Arguments as in `draw_picture`."""
    rng = np.random.default_rng(seed)
    while True:
        yield draw_picture(rng, side, psf_sigma, radii, kind, jitter)


def _turn(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _elliptical(rng: np.random.Generator) -> Gaussians:
    flat = rng.uniform(0.4, 1.0)
    return sersic(rng.uniform(1.0, 4.0), 1.0, BULGE).mapped(np.diag([np.sqrt(flat), 1.0 / np.sqrt(flat)]))


def _disk_galaxy(rng: np.random.Generator) -> Gaussians:
    disk = sersic(rng.uniform(0.6, 1.3), 1.0, DISK)
    if rng.random() < 0.3:
        disk = _lopsided(rng, disk, 0.15)
    parts = [disk]
    if rng.random() < 0.6:
        parts.append(_arms(rng).scaled_to(rng.uniform(0.1, 0.6)))
    if rng.random() < 0.6:
        parts.append(_knots(rng, int(rng.integers(1, 10)), 0.9).scaled_to(rng.uniform(0.03, 0.4)))
    inclination = rng.uniform(0.0, 1.0)
    flat = np.sqrt(inclination**2 * (1 - THICKNESS**2) + THICKNESS**2)
    seen = Gaussians.joined(*parts).scaled_to(1.0).mapped(np.diag([flat, 1.0]))
    share = rng.beta(0.8, 2.5)
    size = rng.uniform(0.15, 0.5)
    round_ = rng.uniform(flat, 1.0)
    bulge = sersic(rng.uniform(1.0, 4.0), size, BULGE).mapped(np.diag([round_, 1.0]))
    if share < 0.02:
        return seen
    return Gaussians.joined(seen.scaled_to(1.0 - share), bulge.scaled_to(share))


def _irregular(rng: np.random.Generator) -> Gaussians:
    """Return a lopsided disk with clumps, several of which may be as bright as its middle; or two that merge."""
    disk = _lopsided(rng, sersic(rng.uniform(0.5, 1.2), 1.0, DISK), 0.4)
    clumps = _knots(rng, int(rng.integers(2, 12)), 1.1)
    flat = rng.uniform(0.3, 1.0)
    shape = np.diag([flat, 1.0])
    parts = [disk.mapped(shape), clumps.mapped(shape).scaled_to(rng.uniform(0.1, 1.5))]
    if rng.random() < 0.4:
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 2.0)
        other = sersic(rng.uniform(0.8, 2.0), rng.uniform(0.2, 0.8), BULGE)
        other = other.mapped(_turn(angle) @ np.diag([rng.uniform(0.4, 1.0), 1.0]))
        other = other.shifted(distance * np.sin(angle), distance * np.cos(angle))
        parts.append(other.scaled_to(rng.uniform(0.1, 0.7)))
    return Gaussians.joined(*parts)


def _lopsided(rng: np.random.Generator, disk: Gaussians, most: float) -> Gaussians:
    """Return a disk whose outer parts lie off its center."""
    angle, off = rng.uniform(0, 2 * np.pi), most * rng.random()
    width = np.sqrt(disk.covariance[:, 0, 0])
    along = off * (width - width.min())[:, None] * np.array([np.sin(angle), np.cos(angle)])
    return Gaussians(disk.flux, disk.center + along, disk.covariance, disk.part)


def _arms(rng: np.random.Generator) -> Gaussians:
    """Return logarithmic spirals: beads along r = r0 exp(φ tan p), as bright as the disk there, with knots on them."""
    number, pitch = int(rng.choice([1, 2, 2, 2, 3])), np.radians(rng.uniform(8.0, 35.0)) * rng.choice([-1, 1])
    first, last = rng.uniform(0.15, 0.6), rng.uniform(1.2, 2.8)
    radius = np.geomspace(first, last, 24)
    turn = np.log(radius / first) / np.tan(pitch)
    start = rng.uniform(0, 2 * np.pi)
    arms = []
    for k in range(number):
        angle = turn + start + 2 * np.pi * k / number + 0.1 * rng.normal()
        place = radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
        light = radius**2 * np.exp(-1.678 * radius) * np.exp(0.6 * rng.normal(size=radius.size))
        width = rng.uniform(0.06, 0.2) * radius**0.5 + 0.15 * np.gradient(radius)
        arms.append(round_blobs(light * rng.uniform(0.6, 1.4), place, width, ARMS))
    return Gaussians.joined(*arms)


def _knots(rng: np.random.Generator, number: int, reach: float) -> Gaussians:
    """Return knots, as far out as a disk of half-light radius `reach`, of very different brightness."""
    # as the light of an exponential disk, cut off
    radius = reach / 1.678 * gammaincinv(2.0, gammainc(2.0, 1.678 * FURTHEST_KNOT) * rng.random(number))
    angle = rng.uniform(0, 2 * np.pi, number)
    light = np.exp(rng.normal(size=number))
    width = np.exp(rng.uniform(np.log(0.03), np.log(0.35), size=number))
    return round_blobs(light, radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)]), width, KNOTS)

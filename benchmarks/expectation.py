#!/usr/bin/env python3
"""How far learning from what was observed leads from a wrong prior to the right one, lap by lap.

Galaxies of the generator are seen through a PSF and noise, and learned from by `expectation.Laps`, which begins with a
Gaussian that takes all galaxies for small ellipticals. Every prior is judged by other galaxies, seen alike: how far the
means of their posteriors are from the truth. The prior of the package has learned from galaxies without PSF and noise,
and is what can be hoped for.

    python benchmarks/expectation.py --stamps 2000 --laps 3 --steps 600
    python benchmarks/expectation.py --real [--data FOLDER]

With `--real` galaxies are those that Hubble saw in COSMOS (`cosmos_stamps` of DEBLEND_DATA), with its PSF and the noise
that they have. Nobody knows their truth: means are judged by pixels of the same galaxies whose noise is independent.
Numbers and pictures go to `results/`, and nothing that was learned of real galaxies is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from astropy.io import fits
from astropy.table import Table
from jaxtyping import Float
from scipy import ndimage
from scores import with_error

from deblend.infer.diffusion.expectation import (
    DRAWING,
    Laps,
    Observed,
    normalized,
    observed_as_stamps,
    posterior_draws,
    posterior_means,
    reference_of,
)
from deblend.infer.diffusion.known_prior import known_prior
from deblend.observe.kernel import difference_kernel, trimmed
from deblend.priors import AbstractPrior, GaussianPrior, generated_stamps
from deblend.priors.population import pictures
from deblend.priors.training import Training, TrainingSettings
from deblend.scene.learned import LEARNED_SIGMA

RESULTS = Path(__file__).parent / "results"
SIDE = 32
PSF_SIGMA = 1.6
"""Of the telescope that sees generated galaxies [pix]; pictures are behind 0.8."""
BRIGHTNESS = 10.0, 100.0
"""Range of the brightest pixel before the telescope's blur, uniform in the logarithm [noise of a pixel]."""
KERNEL_RADIUS = 6
WRONG_KIND, WRONG_RADII, WRONG_FLOOR = "elliptical", (1.2, 2.5), 3e-3
"""Of galaxies that the first prior knows: half-light radii [pix], and the least scatter of a pixel [peak]."""
N_WRONG, WRONG_RANK = 400, 64
N_HELD_OUT, N_DRAWS = 64, 4
"""Galaxies that priors are judged by, and draws that a mean is made of."""
N_SHOWN = 8
STAMP_PIXELS = 2
"""Pixels of a real stamp along an axis that become one: of 0.06 arcsec, at which Hubble's PSF is about the model's."""
RIM = 3
"""How many pixels from the edge tell the noise of a stamp."""
N_REAL_HELD_OUT, REAL_TWICE = 16, 4
"""Real galaxies that are held out, and how often each other one is drawn in a lap."""


@dataclass(frozen=True)
class HeldOut:
    """Galaxies that nothing is learned from, as they are seen, and what means of their posteriors are held against."""

    observed: Observed
    target: Float[np.ndarray, "stamp y x"]
    """Pictures without noise; of real galaxies pixels as seen, whose noise is independent."""
    noise: float = 0.0
    """Of a pixel of the target [unit of the images]; 0 for pictures."""

    def errors(self, prior: AbstractPrior, reference: GaussianPrior, seed: int) -> Float[np.ndarray, " stamp"]:
        """Return the mean square error of the posterior mean of every galaxy, free of the scatter of finite draws
        and of the target's noise [of pictures peak², else noise²]."""
        if not self.noise:
            draws = drawn_often(self.observed, prior, reference, seed)
            return _mean_square(draws - self.target)
        # how bright a real galaxy is tells the mean of a first round
        first = drawn_often(self.observed, prior, reference, seed).mean(axis=0)
        observed = self.observed.brightened(normalized(first, keep_all=True))
        draws = drawn_often(observed, prior, reference, seed + 1)
        images = np.stack([observed.brightness[:, None, None] * observed.seen(draw) for draw in draws])
        return _mean_square((images - self.target) / self.noise) - 1.0


def _mean_square(off: Float[np.ndarray, "draw stamp y x"]) -> Float[np.ndarray, " stamp"]:
    """Return the mean square of the mean of draws, less what it has by being one of so few."""
    square = off.mean(axis=0) ** 2
    if len(off) > 1:
        square = square - off.var(axis=0, ddof=1) / len(off)
    return np.asarray(square.mean(axis=(1, 2)), float)


def drawn_often(
    observed: Observed, prior: AbstractPrior, reference: GaussianPrior, seed: int
) -> Float[np.ndarray, "draw stamp y x"]:
    """Return draws of the posterior of every stamp; of a Gaussian the mean, which is known."""
    if isinstance(prior, GaussianPrior):
        return posterior_means(observed, prior)[None]
    draws = [posterior_draws(observed, prior, reference, DRAWING, seed + 104729 * k) for k in range(N_DRAWS)]
    return np.stack([draw for draw in draws if draw is not None])


def wrong_prior() -> GaussianPrior:
    """Return the Gaussian of small ellipticals."""
    drawn = pictures(77, SIDE, LEARNED_SIGMA, WRONG_RADII, WRONG_KIND, 0.3)
    stamps = np.stack([picture / picture.max() for picture in islice(drawn, N_WRONG)])
    return GaussianPrior.fitted(stamps, WRONG_RANK, WRONG_FLOOR)


def generated(n: int, seed: int) -> tuple[Observed, HeldOut]:
    """Return galaxies of the generator as they are seen, and some more to be judged by."""
    stamps = generated_stamps(SIDE, n, seed)
    kernel = gaussian_kernel(np.sqrt(PSF_SIGMA**2 - LEARNED_SIGMA**2))
    rng = np.random.default_rng(seed)
    learn, held_out = stamps.learn[:, :SIDE, :SIDE], stamps.held_out[:N_HELD_OUT]
    images, _ = _seen(learn, kernel, rng)
    judged, brightness = _seen(held_out, kernel, rng)
    return Observed.of(images, kernel, 1.0), HeldOut(Observed(judged, kernel, 1.0, brightness), held_out)


def gaussian_kernel(sigma: float) -> Float[np.ndarray, "side side"]:
    profile = np.exp(-0.5 * (np.arange(-KERNEL_RADIUS, KERNEL_RADIUS + 1) / sigma) ** 2)
    return np.outer(profile, profile) / profile.sum() ** 2


def _seen(
    truth: Float[np.ndarray, "stamp y x"], kernel: Float[np.ndarray, "side side"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "stamp y x"], Float[np.ndarray, " stamp"]]:
    """Return images of pictures with noise of 1, and how bright they are."""
    brightness = np.exp(rng.uniform(*np.log(BRIGHTNESS), len(truth)))
    sharp = Observed(truth, kernel, 1.0, brightness)
    images = brightness[:, None, None] * sharp.seen(truth) + rng.normal(size=truth.shape)
    return images.astype(np.float32), brightness


def real(folder: Path, seed: int) -> tuple[Observed, HeldOut]:
    """Return galaxies of Hubble, and some with twice the variance to be judged by.

    Those are given noise n' as large as their own, n, and held against the pixels less n': n + n' and n - n' are
    independent.
    """
    rng = np.random.default_rng(seed)
    images, noises, psfs = [], [], []
    with fits.open(folder / "galaxies.fits") as galaxies, fits.open(folder / "psfs.fits") as own:
        for row in Table.read(folder / "catalog.csv"):
            hdu = int(row["hdu"])
            stamp = galaxies[hdu].data.astype(float)
            if max(stamp.shape) > STAMP_PIXELS * SIDE:
                continue
            small = binned(on_canvas(stamp, np.sqrt(row["noise_variance"]), rng))
            images.append(small)
            noises.append(background(small))
            psfs.append(own[hdu].data.astype(float))
    noise = np.array(noises)[:, None, None]
    cube = np.stack(images) / noise
    psf = binned_psf(np.mean(psfs, axis=0))
    kernel = trimmed(difference_kernel(psf, LEARNED_SIGMA)[None], KERNEL_RADIUS)[0]
    order = rng.permutation(len(cube))
    learn = np.repeat(cube[order[N_REAL_HELD_OUT:]], REAL_TWICE, axis=0)
    more = rng.normal(size=(N_REAL_HELD_OUT, SIDE, SIDE))
    held_out = cube[order[:N_REAL_HELD_OUT]]
    images = (held_out + more).astype(np.float32)
    brightness = ndimage.gaussian_filter(images, (0, 1, 1)).max(axis=(1, 2))
    seen = Observed(images, kernel, float(np.sqrt(2.0)), brightness)
    return Observed.of(learn, kernel, 1.0), HeldOut(seen, held_out - more, float(np.sqrt(2.0)))


def on_canvas(
    stamp: Float[np.ndarray, "y x"], noise: float, rng: np.random.Generator
) -> Float[np.ndarray, "wide wide"]:
    """Return a stamp with its brightest place in the middle of a canvas that binning halves; where it has no pixels
    there is noise alone."""
    wide = STAMP_PIXELS * SIDE
    result = noise * rng.normal(size=(wide, wide))
    smooth = ndimage.gaussian_filter(stamp, STAMP_PIXELS)
    inner = smooth[stamp.shape[0] // 4 : -(stamp.shape[0] // 4), stamp.shape[1] // 4 : -(stamp.shape[1] // 4)]
    row, column = np.unravel_index(np.argmax(inner), inner.shape)
    y, x = wide // 2 - (row + stamp.shape[0] // 4), wide // 2 - (column + stamp.shape[1] // 4)
    rows = slice(max(y, 0), min(y + stamp.shape[0], wide))
    columns = slice(max(x, 0), min(x + stamp.shape[1], wide))
    result[rows, columns] = stamp[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    return result


def binned(image: Float[np.ndarray, "wide wide"]) -> Float[np.ndarray, "side side"]:
    """Return sums of pixels."""
    side = image.shape[0] // STAMP_PIXELS
    return image.reshape(side, STAMP_PIXELS, side, STAMP_PIXELS).sum(axis=(1, 3))


def binned_psf(psf: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "side side"]:
    """Return a PSF in binned pixels, its centroid on the middle one, of sum 1."""
    half = (min(psf.shape) // 2) // STAMP_PIXELS - 1
    wide = STAMP_PIXELS * (2 * half + 1)
    start = np.array([(n - wide) // 2 for n in psf.shape])
    y, x = ndimage.center_of_mass(psf)
    # the middle of the middle binned pixel
    aim = (wide - 1) / 2
    moved = ndimage.shift(psf, (start[0] + aim - y, start[1] + aim - x), order=3)
    small = binned(moved[start[0] : start[0] + wide, start[1] : start[1] + wide])
    return small / small.sum()


def background(image: Float[np.ndarray, "y x"]) -> float:
    """Return the standard deviation of pixels at the rim, by their median."""
    rim = np.ones(image.shape, bool)
    rim[RIM:-RIM, RIM:-RIM] = False
    return float(1.4826 * np.median(np.abs(image[rim] - np.median(image[rim]))))


@dataclass(frozen=True)
class Row:
    """A prior, and what is known of it."""

    name: str
    squares: Float[np.ndarray, " stamp"]
    """Mean square error of the posterior mean of every held-out galaxy."""
    samples: Float[np.ndarray, "stamp y x"]
    """Pictures that the prior believes in."""
    minutes: float = 0.0
    """Of the process, to learn it."""

    @property
    def error(self) -> tuple[float, float]:
        """Root of the mean square, with its error from drawing galaxies again."""
        return with_error(lambda take: float(np.sqrt(max(self.squares[take].mean(), 0.0))), len(self.squares))


def judged(name: str, prior: AbstractPrior, reference: GaussianPrior, held_out: HeldOut, minutes: float = 0.0) -> Row:
    samples = np.asarray(eqx.filter_jit(lambda p, key: p.sample(key, N_SHOWN))(prior, jax.random.key(3)))
    return Row(name, held_out.errors(prior, reference, 11), samples, minutes)


def all_laps(observed: Observed, held_out: HeldOut, laps: int, steps: int, seed: int) -> Iterator[Row]:
    """Yield the priors of all laps as they are learned, from the wrong one to the one of the package."""
    first, package = wrong_prior(), known_prior(None)
    yield judged("first", first, first, held_out)
    yield judged("of the package", package.prior, package.reference, held_out)
    running, begun = Laps(observed, seed, first), None
    for lap in range(1, laps + 1):
        started = time.process_time()
        draws = running.draw()
        assert draws is not None
        pictures_ = normalized(draws)
        settings = TrainingSettings(steps=steps, check_every=max(steps // 4, 1), seed=seed + lap)
        training = Training(observed_as_stamps(pictures_, f"lap {lap}", seed), settings, "score", begun)
        for _ in training:
            pass
        begun = training.best
        minutes = (time.process_time() - started) / 60.0
        yield judged(f"lap {lap}", begun, reference_of(pictures_), held_out, minutes)
        running.go_on(begun)


def report(rows: Sequence[Row], n_stamps: int) -> str:
    """Return the table, and how far of the way from the first prior to that of the package each lap is."""
    by_name = {row.name: row for row in rows}
    first, package = by_name["first"], by_name["of the package"]
    lines = [f"{n_stamps} stamps of {SIDE}², {len(first.squares)} held-out galaxies", "| prior | error | of the way |"]
    lines.append("|---|---|---|")
    for row in (first, *(row for row in rows if row.name.startswith("lap")), package):

        def of_the_way(take: list[int], row: Row = row) -> float:
            wrong, right, own = (np.sqrt(max(r.squares[take].mean(), 0.0)) for r in (first, package, row))
            return float((wrong - own) / (wrong - right))

        value, spread = row.error
        share, share_spread = with_error(of_the_way, len(row.squares))
        lines.append(f"| {row.name} | {value:.4f} ± {spread:.4f} | {share:.2f} ± {share_spread:.2f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=int, default=2000, help="of the generator")
    parser.add_argument("--laps", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600, help="of learning, per lap")
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--real", action="store_true", help="galaxies of cosmos_stamps instead")
    default = Path(os.environ.get("DEBLEND_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    if options.real:
        observed, held_out = real(options.data / "cosmos_stamps", options.seed)
    else:
        observed, held_out = generated(options.stamps, options.seed)
    RESULTS.mkdir(exist_ok=True)
    name = "expectation_real" if options.real else "expectation"
    rows: list[Row] = []
    for row in all_laps(observed, held_out, options.laps, options.steps, options.seed):
        rows.append(row)
        print(f"{row.name}: {row.error[0]:.4f} ± {row.error[1]:.4f}, {row.minutes:.1f} CPU minutes", flush=True)
        kept = [{"name": r.name, "error": r.error, "squares": r.squares.tolist(), "minutes": r.minutes} for r in rows]
        settings = {"stamps": len(observed.images), "steps": options.steps, "seed": options.seed}
        (RESULTS / f"{name}.json").write_text(json.dumps({**settings, "rows": kept}, indent=1))
        np.savez(RESULTS / f"{name}.npz", seen=held_out.observed.images[:N_SHOWN], **{r.name: r.samples for r in rows})
    print(report(rows, len(observed.images)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

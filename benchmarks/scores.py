"""Scores of fits against truth, with errors from drawing scenes again.

Fluxes and pictures are judged in i, over galaxies: stars are easier, and are told to be stars. A ratio is to the floor,
that of true pictures of all sources with nothing but non-negative fluxes to find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from blends import Blend
from jaxtyping import Float
from skimage.metrics import structural_similarity

N_DRAWS = 400
CLIP = 1.0
"""Relative errors are cut there before they are averaged, so that one lost source does not outweigh all others."""
LEAST_BLENDED_SNR = 5.0


@dataclass
class Result:
    """What a fit of one scene found, next to the truth: of the sources that it was told of, fluxes (source, band)."""

    is_star: list[bool]
    snr: list[float]
    blendedness: list[float]
    truth: list[list[float]]
    flux: list[list[float]]
    floor: list[list[float]]
    likeness: list[float]
    """Σ ab / sqrt(Σ a² Σ b²) of the pictures of every source and its truth, as seen."""
    ssim: list[float]
    """Structural similarity (Wang et al. 2004) of the same, each relative to its flux, over the box of its light."""
    chi2: float
    """Per pixel."""
    iterations: int
    seconds: float | None
    """CPU time; None where something was compiled in it."""
    outcome: str
    bands: str = "grizy"


def judged(
    blend: Blend,
    flux: Float[np.ndarray, "source band"],
    pictures: Float[np.ndarray, "source y x"],
    chi2: float,
    iterations: int,
    seconds: float | None,
    outcome: str,
) -> Result:
    """Return fluxes and pictures (in i, as seen) of the sources that were told of, next to the truth."""
    given = blend.given
    truth = blend.truth[given, blend.band_i]
    pairs = list(zip(pictures, truth, strict=True))
    return Result(
        blend.is_star[given].tolist(),
        blend.snr[given].tolist(),
        blend.blendedness[given].tolist(),
        blend.flux[given].tolist(),
        np.asarray(flux, float).tolist(),
        blend.floor[given].tolist(),
        [likeness(a, b) for a, b in pairs],
        [similarity(a, b) for a, b in pairs],
        float(chi2),
        iterations,
        seconds,
        outcome,
        blend.bands,
    )


def likeness(a: Float[np.ndarray, "y x"], b: Float[np.ndarray, "y x"]) -> float:
    """Return the correlation of two pictures about zero, 0 where one is dark."""
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def similarity(picture: Float[np.ndarray, "y x"], truth: Float[np.ndarray, "y x"]) -> float:
    """Return the structural similarity of two pictures of flux 1, over the box that holds the light of the truth."""
    lit = truth > 0.01 * truth.max()
    rows, columns = (np.flatnonzero(lit.any(axis=axis)) for axis in (1, 0))
    # the window of 7 px has to fit
    low = [max(index[0] - 4, 0) for index in (rows, columns)]
    high = [index[-1] + 5 for index in (rows, columns)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    a, b = (image[box] / max(image.sum(), 1e-30) for image in (np.asarray(picture, float), truth))
    return float(structural_similarity(a, b, data_range=float(b.max())))


class Galaxies(dict[str, np.ndarray]):
    """Columns over the galaxies of several scenes."""

    @staticmethod
    def of(results: Sequence[Result], which: str = "flux") -> Galaxies:
        """Collect `flux` or `floor`."""
        use = ~np.concatenate([r.is_star for r in results])

        def column(name: str) -> np.ndarray:
            return np.concatenate([np.asarray(getattr(r, name), float) for r in results])[use]

        g, r, i = (
            np.concatenate([np.asarray(getattr(x, name), float)[:, x.bands.index(band)] for x in results])[use]
            for band, name in (("g", which), ("r", which), ("i", which))
        )
        true_g, true_r, true_i = (
            np.concatenate([np.asarray(x.truth, float)[:, x.bands.index(band)] for x in results])[use] for band in "gri"
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            color = -2.5 * np.log10(g / r * true_r / true_g)
        return Galaxies(
            error=i / true_i - 1.0,
            color=color,
            snr=column("snr"),
            blendedness=column("blendedness"),
            likeness=column("likeness"),
            ssim=column("ssim"),
        )


def median_error(g: Galaxies, keep: np.ndarray | None = None) -> float:
    """Return the median |ΔF/F|."""
    error = np.abs(g["error"] if keep is None else g["error"][keep])
    return float(np.median(error)) if error.size else np.nan


def color_scatter(g: Galaxies) -> float:
    """Return the normalized median absolute deviation of the color's error [mag]."""
    color = g["color"][np.isfinite(g["color"])]
    return float(1.4826 * np.median(np.abs(color - np.median(color)))) if color.size else np.nan


def is_blended(g: Galaxies) -> np.ndarray:
    return (g["blendedness"] > 0.2) & (g["snr"] > LEAST_BLENDED_SNR)


STATISTICS: dict[str, Callable[[Galaxies], float]] = {
    "median ΔF/F": median_error,
    "S/N 20-100": lambda g: median_error(g, (g["snr"] > 20) & (g["snr"] < 100)),
    "blended > 0.2": lambda g: median_error(g, is_blended(g)),
    "bias": lambda g: float(np.median(g["error"])),
    "wrong by 50 %": lambda g: float(np.mean(np.abs(g["error"]) > 0.5)),
    "g-r": color_scatter,
    "mean, cut at 1": lambda g: float(np.mean(np.minimum(np.abs(g["error"]), CLIP))),
    "likeness": lambda g: float(np.median(g["likeness"])),
    "SSIM": lambda g: float(np.median(g["ssim"])),
}
WITH_RATIO = ("median ΔF/F", "S/N 20-100", "blended > 0.2", "g-r")


def draws(n_scenes: int) -> list[list[int]]:
    """Return which scenes to take, drawn with repetition, the same for every row of so many scenes."""
    rng = np.random.default_rng(n_scenes)
    return [list(rng.integers(0, n_scenes, n_scenes)) for _ in range(N_DRAWS)]


def with_error(statistic: Callable[[list[int]], float], n_scenes: int) -> tuple[float, float]:
    """Return a statistic of all scenes, and its spread over draws; NaN for one scene."""
    value = statistic(list(range(n_scenes)))
    if n_scenes < 2:
        return value, np.nan
    spread = [statistic(sample) for sample in draws(n_scenes)]
    return value, float(np.nanstd(spread)) if np.isfinite(spread).any() else np.nan


FLUX_SCORES: dict[str, Callable[[np.ndarray], float]] = {
    "median |ΔF/F|": lambda e: float(np.median(abs(e))),
    "median ΔF/F": lambda e: float(np.median(e)),
    "wrong by half": lambda e: float(np.mean(abs(e) > 0.5)),
    "mean |ΔF/F|, cut at 1": lambda e: float(np.mean(np.minimum(abs(e), 1.0))),
}


def print_flux_scores(label: str, errors: Sequence[np.ndarray]) -> None:
    """Print how right fluxes are, from ΔF/F of every scene, a score with its error to a line."""
    for name, score in FLUX_SCORES.items():

        def of_scenes(take: list[int], score: Callable[[np.ndarray], float] = score) -> float:
            return score(np.concatenate([errors[k] for k in take]))

        value, spread = with_error(of_scenes, len(errors))
        print(f"{label}, {name}: {value:.3f} ± {spread:.3f}")


def cells(results: Sequence[Result], which: str = "flux") -> list[str]:
    """Return a row of the table: every statistic with its error and its ratio to the floor, and how the fits went."""
    result = []
    of_floor = Galaxies.of(results, "floor")
    for name, statistic in STATISTICS.items():
        if which == "floor" and name in ("likeness", "SSIM"):
            result.append("1")
            continue

        def taken(take: list[int], s: Callable[[Galaxies], float] = statistic) -> float:
            return s(Galaxies.of([results[i] for i in take], which))

        value, error = with_error(taken, len(results))
        cell = f"{value:.3f}" + (f" ± {error:.3f}" if np.isfinite(error) else "")
        least = statistic(of_floor)
        if which != "floor" and name in WITH_RATIO and least > 0:
            cell += f" ({value / least:.1f}×)"
        result.append(cell)
    if which == "floor":
        return [*result, "", "", ""]
    iterations = [r.iterations for r in results]
    seconds = [r.seconds for r in results if r.seconds is not None]
    return [
        *result,
        f"{np.mean([r.chi2 for r in results]):.3f}",
        f"{np.mean(iterations):.1f}, most {max(iterations)}",
        f"{np.median(seconds):.2f}" if seconds else "",
    ]


HEADER = ["set", "row", "scenes, galaxies", *STATISTICS, "chi²", "iterations", "CPU s"]


def change(results: Sequence[Result], before: Sequence[Result]) -> str:
    """Return what changed since another run, over the same scenes; raises ValueError where they are others."""
    if [r.truth for r in results] != [r.truth for r in before]:
        raise ValueError("The saved run is of other scenes; use the same --set, --scenes and --seed.")
    said = []
    for name, statistic in STATISTICS.items():

        def difference(take: list[int], s: Callable[[Galaxies], float] = statistic) -> float:
            new, old = (Galaxies.of([each[i] for i in take]) for each in (results, before))
            return s(new) - s(old)

        value, error = with_error(difference, len(results))
        said.append(f"{name} {value:+.4f} ± {error:.4f}")
    chi2 = np.mean([r.chi2 for r in results]) - np.mean([r.chi2 for r in before])
    iterations = np.mean([r.iterations for r in results]) - np.mean([r.iterations for r in before])
    return "; ".join(said) + f"; chi² {chi2:+.4f}; iterations {iterations:+.1f}"

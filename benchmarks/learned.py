#!/usr/bin/env python3
"""What priors that have learned galaxies are worth: the same blends of two galaxies, taken apart in seven ways.

    python benchmarks/learned.py --blends 12                         # all ways, behind all PSFs
    python benchmarks/learned.py --blends 12 --ways "one pass (GAN)" # one more, beside what is in results/

Ways are those of `learned_rows.py`, blends those of `learned_blends.py`: galaxies of the generator that the priors have
learned from, and galaxies that Hubble saw where `cosmos_stamps` of DEBLEND_DATA is there. All are seen through the PSF
that the network of one pass has learned behind, and generated ones through a narrower and a wider one too, of which it
is told nothing and the others are. That network is learned by the first run (ten minutes of one core) and kept in
`results/`, as are all numbers. Errors come from drawing blends again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from blends import Blend
from learned_blends import PSFS, TRAINING, families, make
from learned_rows import WAYS, Light
from scores import STATISTICS, Galaxies, Result, judged, with_error

RESULTS = Path(__file__).parent / "results"
SHOWN = 0
"""The blend of the picture."""
MEAN_ERROR = "mean, cut at 1"

Results = dict[str, dict[str, dict[str, list[Result]]]]
"""By family, PSF and way, a result for every blend."""


def psfs_of(family: str) -> dict[str, float]:
    """Return the PSFs that blends of a family are seen through."""
    return PSFS if family == "generated" else {TRAINING: PSFS[TRAINING]}


def result_of(blend: Blend, light: Light) -> Result:
    """Return the scores of what a way finds; fluxes are those in the image."""
    chi2 = float(np.mean((blend.images - light.galaxies.sum(axis=0)) ** 2 / blend.variance))
    pictures = light.galaxies[:, blend.band_i]
    return judged(blend, light.galaxies.sum(axis=(2, 3)), pictures, chi2, 0, light.seconds, "SOLVED")


def table(by_psf: Mapping[str, Mapping[str, Sequence[Result]]]) -> str:
    """Return a row for every way: mean errors of fluxes behind each PSF and what changes from training, blend by
    blend; likeness, SSIM and χ² behind each, and CPU seconds."""
    others = [psf for psf in by_psf if psf != TRAINING]
    cells = [f"mean ΔF/F, {PSFS[psf]:g} px" for psf in by_psf] + [f"{PSFS[psf]:g} px, paired" for psf in others]
    cells = ["way", *cells, "likeness", "SSIM", "χ²", "CPU s"]
    lines = [line(cells), "|" + "---|" * len(cells)]
    for way in by_psf[TRAINING]:
        rows = {psf: by_way[way] for psf, by_way in by_psf.items()}
        errors = ["{:.3f} ± {:.3f}".format(*scored(results, MEAN_ERROR)) for results in rows.values()]
        changes = [said_change(rows[psf], rows[TRAINING]) for psf in others]
        pictures = [told(scored(results, name)[0] for results in rows.values()) for name in ("likeness", "SSIM")]
        chi2 = told(float(np.mean([result.chi2 for result in results])) for results in rows.values())
        # the first blends have the time of compilers in them
        seconds = [r.seconds for results in rows.values() for r in results if r.seconds is not None]
        lines.append(line([way, *errors, *changes, *pictures, chi2, f"{np.median(seconds):.2f}"]))
    return "\n".join(lines)


def told(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def scored(results: Sequence[Result], name: str) -> tuple[float, float]:
    """Return a statistic of some blends with its error."""
    return with_error(lambda take: STATISTICS[name](Galaxies.of([results[k] for k in take])), len(results))


def said_change(results: Sequence[Result], at_training: Sequence[Result]) -> str:
    """Return by how much the mean error of fluxes differs from that behind the training PSF, paired."""
    value, spread = paired(results, at_training, STATISTICS[MEAN_ERROR])
    return f"{value:+.3f} ± {spread:.3f}"


def paired(
    results: Sequence[Result], others: Sequence[Result], statistic: Callable[[Galaxies], float]
) -> tuple[float, float]:
    """Return the difference of a statistic between two ways with the same blends, and its error."""

    def difference(take: list[int]) -> float:
        own, other = (statistic(Galaxies.of([each[k] for k in take])) for each in (results, others))
        return own - other

    return with_error(difference, min(len(results), len(others)))


def saved(path: Path, settings: dict[str, Any]) -> Results:
    """Return the results of former runs with the same settings; nothing where there were none."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text())
    if {name: kept[name] for name in settings} != settings:
        return {}
    return {
        family: {psf: {way: [Result(**r) for r in rs] for way, rs in ways.items()} for psf, ways in psfs.items()}
        for family, psfs in kept["results"].items()
    }


def write(path: Path, settings: dict[str, Any], results: Results) -> None:
    kept = {
        family: {psf: {way: [asdict(r) for r in rs] for way, rs in ways.items()} for psf, ways in psfs.items()}
        for family, psfs in results.items()
    }
    path.write_text(json.dumps({**settings, "results": kept}, indent=1))


def run(family: str, ways: Sequence[str], options: argparse.Namespace, results: Results) -> None:
    """Take the blends of a family apart, those that were not yet, and keep what is found."""
    draw = families(options.data)[family]
    path, picture = RESULTS / "learned.json", RESULTS / "learned.npz"
    for number in range(options.blends):
        for psf, sigma in psfs_of(family).items():
            by_way = results.setdefault(family, {}).setdefault(psf, {})
            blend = make(draw, options.seed, number, sigma)
            for way in ways:
                found = by_way.setdefault(way, [])
                if len(found) > number:
                    continue
                light = WAYS[way](blend)
                found.append(result_of(blend, light))
                if family == "generated" and number == SHOWN:
                    shown = dict(np.load(picture)) if picture.exists() else {}
                    shown |= {f"{psf}: {way}": light.galaxies, f"{psf}: truth": blend.truth, psf: blend.images}
                    np.savez(picture, **{name: np.asarray(each, np.float32) for name, each in shown.items()})
        write(path, {"seed": options.seed}, results)
        print(f"{family}: {number + 1} of {options.blends}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blends", type=int, default=12, help="of every family")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--family", nargs="+", choices=("generated", "real"), help="default: all that can be made")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS), metavar="WAY")
    default = Path(os.environ.get("DEBLEND_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    results = saved(RESULTS / "learned.json", {"seed": options.seed})
    for family in options.family or families(options.data):
        run(family, options.ways, options, results)
    for family, by_psf in results.items():
        n = min(len(rs) for by_way in by_psf.values() for rs in by_way.values())
        whole = {psf: {way: rs[:n] for way, rs in by_way.items()} for psf, by_way in by_psf.items()}
        print(f"\n{family}, {n} blends of two, seed {options.seed}\n\n{table(whole)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

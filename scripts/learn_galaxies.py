#!/usr/bin/env python3
"""Learn the galaxies that come with the package anew.

    python scripts/learn_galaxies.py

The same seed makes the same file, up to rounding of the machine's linear algebra; some minutes.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deblend.priors import classes

PACKAGED = Path(classes.__file__).with_name(classes.PACKAGED)
HELD_OUT = 200
"""Galaxies of a class, of another seed, that it is tried on."""


def held_out(learned: list[classes.SizeClass], seed: int) -> list[float]:
    """Return the mean log density per pixel of galaxies that classes have not seen."""
    result = []
    for number, each in enumerate(learned):
        scores = [each.log_density(p) / p.size for p in islice(classes.members(number, seed), HELD_OUT)]
        result.append(float(np.mean(scores)))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=5000, help="galaxies (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--out", type=Path, default=PACKAGED)
    options = parser.parse_args()
    with tqdm(unit=" galaxies", mininterval=5.0) as bar:

        def progress(done: int, all_: int) -> None:
            bar.total, bar.n = all_, done
            bar.update(0)

        learned = classes.learn(options.per_class, options.seed, progress)
    # as they are read
    classes.write(options.out, learned, {})
    scores = held_out(classes.read(options.out), options.seed + 100)
    classes.write(options.out, learned, classes.card_of(options.per_class, options.seed, scores))
    print(f"{options.out}: {options.out.stat().st_size / 1e3:.0f} kB; held out, nats a pixel:", *np.round(scores, 3))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

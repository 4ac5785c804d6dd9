#!/usr/bin/env python3
"""Make the picture of galaxies that the decoder of the package draws anew, beside galaxies that it was not shown."""

from __future__ import annotations

from pathlib import Path

from deblend.priors import generated_stamps, packaged_path, read_model
from deblend.priors.lessons import VaeLesson
from deblend.priors.sheet import write_sheet

PICTURE = Path(__file__).parent / "images" / "vae_draws.png"
SEED = 2


def main() -> None:
    prior, _ = read_model(packaged_path("vae"))
    stamps = generated_stamps(prior.shape[0], 32, SEED, None, VaeLesson.radii_of_side, VaeLesson.center_jitter)
    write_sheet(PICTURE, prior, stamps.held_out, SEED)


if __name__ == "__main__":
    main()

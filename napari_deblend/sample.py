"""The samples that come with the program: a blend, and a patch of sky seen by two telescopes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deblend.io import read_observations
from napari_deblend.reader import layers_of


def sample_folder() -> Path:
    """Return the folder of the sample: in the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "sample_data", package.parent / "sample_data"):
        if any(folder.glob("*.fits")):
            return folder
    raise ValueError("The sample images are missing from this installation; install napari-deblend again.")


def sample_paths() -> list[Path]:
    """Return the images of the sample blend, by wavelength."""
    return sorted(sample_folder().glob("calexp-*.fits"), key=lambda p: "GRIZY".find(p.stem[-1]))


def read_sample() -> list[tuple[Any, dict[str, Any], str]]:
    """Return the sample as layers."""
    return layers_of(read_observations(sample_paths()))


def read_two_telescopes() -> list[tuple[Any, dict[str, Any], str]]:
    """Return the sample of two telescopes as layers."""
    folder = sample_folder() / "two_telescopes"
    images, psfs = ([folder / f"{prefix}{name}.fits" for name in ("hsc", "hst")] for prefix in ("", "psf-"))
    return layers_of(read_observations(images, psf=psfs))

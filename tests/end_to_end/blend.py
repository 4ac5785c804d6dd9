"""A small blend, made here, as files of one patch that two telescopes have seen; and what the command line is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from astropy.io import fits
from scipy.signal import fftconvolve

from deblend.observe import gaussian_psf
from deblend.sky import TangentWcs

SHAPE, FINE_SHAPE = (44, 40), (88, 80)
ZERO_POINT = 27.0
NJY = 10 ** (0.4 * (31.4 - ZERO_POINT))
SIGMA = 0.05
X, Y = np.array([12.3, 19.8, 28.1]), np.array([14.2, 17.9, 30.4])
WIDTHS = (1.6, 0.05, 2.3)
"""Standard deviations of round Gaussians; the second is a star."""
FLUXES = {"g": (40.0, 25.0, 60.0), "r": (80.0, 20.0, 75.0), "F814W": (90.0, 15.0, 85.0)}
COARSE = TangentWcs((150.0, 2.2), (19.5, 21.5), ((-0.168, 0.0), (0.0, 0.168)))
FINE = TangentWcs((150.0, 2.2), (39.5, 43.5), ((-0.084, 0.0), (0.0, 0.084)))


@dataclass
class Blend:
    """Files of one patch: two bands on a coarse grid, one on a grid of half the pixel size."""

    folder: Path
    coarse: list[str]
    fine: str
    components: dict[str, np.ndarray]
    """Noiseless (source, y, x) as each band sees it [count]."""


def gaussian(shape: tuple[int, int], x: float, y: float, width: float) -> np.ndarray:
    """Return a Gaussian of flux 1, integrated over pixels by sampling them nine times finer."""
    fine = (np.arange(9) - 4) / 9
    yy = (np.arange(shape[0])[:, None] + fine).ravel()
    xx = (np.arange(shape[1])[:, None] + fine).ravel()
    width = max(width, 0.15)
    row = np.exp(-0.5 * ((yy - y) / width) ** 2).reshape(-1, 9).sum(1)
    column = np.exp(-0.5 * ((xx - x) / width) ** 2).reshape(-1, 9).sum(1)
    return np.outer(row / row.sum(), column / column.sum())


def make_blend(folder: Path) -> Blend:
    """Write images, weights, PSFs and peaks into a folder."""
    rng = np.random.default_rng(11)
    components, files = {}, {}
    for band, survey, wcs, shape, scale, fwhm in (
        ("g", "HSC-G", COARSE, SHAPE, 1.0, 4.0),
        ("r", "HSC-R", COARSE, SHAPE, 1.0, 3.6),
        ("F814W", "F814W", FINE, FINE_SHAPE, 2.0, 2.6),
    ):
        psf = gaussian_psf(fwhm)
        x, y = wcs.sky_to_pixel(*COARSE.pixel_to_sky(X, Y))
        seen = [
            flux * fftconvolve(gaussian(shape, cx, cy, width * scale), psf, mode="same")
            for flux, cx, cy, width in zip(FLUXES[band], x, y, WIDTHS, strict=True)
        ]
        components[band] = np.stack(seen)
        image = components[band].sum(0) + rng.normal(0, SIGMA, shape)
        header = wcs.to_header()
        header["FILTER"], header["MAGZERO"] = survey, ZERO_POINT
        if band == "F814W":
            header["TELESCOP"] = "HST"
        files[band] = str(folder / f"image_{band}.fits")
        fits.PrimaryHDU(image.astype("f4"), header).writeto(files[band])
        fits.PrimaryHDU(np.full(shape, SIGMA**-2, "f4")).writeto(folder / f"weight_{band}.fits")
        fits.PrimaryHDU(psf).writeto(folder / f"psf_{band}.fits")
    rows = "\n".join(f"{i},{x},{y}" for i, (x, y) in enumerate(zip(X, Y, strict=True)))
    (folder / "peaks.csv").write_text(f"id,x,y\n{rows}\n")
    return Blend(folder, [files["g"], files["r"]], files["F814W"], components)


def with_companions(blend: Blend, *bands: str) -> list[str]:
    options = []
    for band in bands:
        options += ["--psf", str(blend.folder / f"psf_{band}.fits")]
        options += ["--weights", str(blend.folder / f"weight_{band}.fits")]
    return options


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text("utf-8"))


@contextmanager
def as_users_run_it() -> Iterator[None]:
    """Run the program as it is, without the strictness that the engine's own tests ask of JAX."""
    # for every thread, not only for this one: the program compiles in others
    strict = jax.config.jax_numpy_rank_promotion
    jax.config.update("jax_numpy_rank_promotion", "allow")
    yield
    jax.config.update("jax_numpy_rank_promotion", strict)

"""Draws from a posterior to a folder: a row per draw and source, mean and deviation of pictures, covariances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from astropy.table import Table

from deblend.guard import AnyPath
from deblend.io.results import Cube, write_components
from deblend.observe import Observation
from deblend.replacing import replacing


class Drawn(Protocol):
    """What is written: `deblend.measure.Samples`."""

    def table(self) -> Any: ...
    def catalog(self) -> Any: ...
    def mean(self, source_index: int, observation_index: int = 0) -> Cube: ...
    def deviation(self, source_index: int, observation_index: int = 0) -> Cube: ...
    def flux_covariance(self, channel: int) -> np.ndarray: ...


def write_samples(folder: AnyPath, observations: Sequence[Observation], samples: Drawn) -> list[Path]:
    """Write `samples.fits`, `mean.fits`, `std.fits` and `covariances.fits` into a folder; return their paths.

    `samples.fits` has one row per draw and source; `mean.fits` and `std.fits` one (band, y, x) HDU per source and
    observation, as `components.fits` has them; `covariances.fits` one matrix of sources per channel [nJy²].
    """
    folder = Path(folder)
    paths = [folder / f"{name}.fits" for name in ("samples", "mean", "std", "covariances")]
    with replacing(paths[0]) as part:
        samples.table().write(str(part), format="fits", overwrite=True)
    names = [str(name) for name in samples.catalog()["name"]]
    pictures: tuple[Callable[[int, int], Cube], ...] = samples.mean, samples.deviation
    for path, picture in zip(paths[1:3], pictures, strict=True):
        write_components(path, observations, names, picture)
    _write_covariances(paths[3], observations, names, samples)
    return paths


class Share(Protocol):
    """What the data say of the pixels of a source: `deblend.infer.samplers.DataShare`."""

    @property
    def source_id(self) -> str: ...
    @property
    def x(self) -> int: ...
    @property
    def y(self) -> int: ...
    @property
    def picture(self) -> np.ndarray: ...


def write_data_shares(path: AnyPath, shares: Sequence[Share], names: Mapping[str, str]) -> None:
    """Write one picture per source: 1 where the data decide, 0 where the prior does.

    `X0`, `Y0` in the header are where its first pixel is on the scene's grid, from 0; `names` are those of the sources.
    """
    path = Path(path)
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for number, share in enumerate(shares):
        hdu = fits.ImageHDU(np.asarray(share.picture, np.float32), name=names.get(share.source_id) or share.source_id)
        height, width = share.picture.shape
        hdu.header["ID"], hdu.header["SOURCE"] = share.source_id, (number, "of those drawn")
        hdu.header["X0"], hdu.header["Y0"] = share.x - width // 2, share.y - height // 2
        hdu.header["CONTENT"] = "1 - posterior / prior variance"
        hdus.append(hdu)
    with replacing(path) as part:
        hdus.writeto(part, overwrite=True)


def _write_covariances(path: Path, observations: Sequence[Observation], names: Sequence[str], samples: Drawn) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(Table({"name": list(names)}))])
    hdus[1].header["EXTNAME"] = "SOURCES"
    for index, channel in enumerate(c for observation in observations for c in observation.channels):
        hdu = fits.ImageHDU(np.asarray(samples.flux_covariance(index), np.float64))
        hdu.header["EXTNAME"] = " ".join(part for part in channel if part)
        hdu.header["BUNIT"] = ("nJy2", "fluxes of the rows of SOURCES")
        hdus.append(hdu)
    with replacing(path) as part:
        hdus.writeto(part, overwrite=True)

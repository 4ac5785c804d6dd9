"""Results to a folder: models, residuals and components in FITS, the catalog, a summary in JSON.

Every file appears whole or not at all: it is written under another name and moved into place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from deblend.guard import AnyPath
from deblend.io.calibration import UNKNOWN_UNIT, njy_per_unit
from deblend.io.fits_file import FITS_BLOCK
from deblend.observe import Observation
from deblend.replacing import replacing
from deblend.scene import Scene
from deblend.sky import AB_ZERO_POINT_NJY

Cube = Float[np.ndarray, "band y x"]


class Writable(Protocol):
    """What can write itself to a path, like a catalog."""

    def write(self, path: Any) -> Any: ...


class Seen(Protocol):
    """What pictures are made from: a program, or a state of a fit."""

    @property
    def scene(self) -> Scene: ...
    def model(self, observation_index: int = 0) -> Cube: ...
    def component(self, source_index: int, observation_index: int = 0) -> Cube: ...
    def full_scene(self, index: int, observation_index: int = 0) -> Cube: ...


def write_pictures(
    folder: AnyPath,
    observations: Sequence[Observation],
    seen: Seen,
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> list[Path]:
    """Write `models.fits`, `residuals.fits` and `components.fits` into a folder; return their paths.

    `progress` is told how many of how many pictures are written.
    """
    folder = Path(folder)
    models = [seen.model(k) for k in range(len(observations))]
    names = [source.name for source in seen.scene.sources]
    everywhere = [each.name for each in seen.scene.full_scenes]
    total = len(observations) * (2 + len(names) + len(everywhere))

    def component(row: int, observation: int) -> Cube:
        progress(len(observations) * (2 + row) + observation, total)
        behind = row - len(names)
        return seen.component(row, observation) if behind < 0 else seen.full_scene(behind, observation)

    paths = [folder / f"{name}.fits" for name in ("models", "residuals", "components")]
    write_models(paths[0], observations, models)
    write_residuals(paths[1], observations, models)
    write_components(paths[2], observations, [*names, *everywhere], component)
    progress(total, total)
    return paths


def write_models(path: AnyPath, observations: Sequence[Observation], models: Sequence[Cube]) -> None:
    """Write one (band, y, x) HDU per observation, in its unit, of models in nJy/pix."""
    path = Path(path)
    _write(path, (image_hdu(o, o.to_input_unit(m), o.name) for o, m in zip(observations, models, strict=True)))


def write_residuals(path: AnyPath, observations: Sequence[Observation], models: Sequence[Cube]) -> None:
    """Write data minus model like `write_models`; NaN where a pixel is masked."""
    path = Path(path)
    _write(
        path,
        (
            image_hdu(o, np.where(o.weights > 0, o.to_input_unit(o.images - m), np.nan), o.name)
            for o, m in zip(observations, models, strict=True)
        ),
    )


def write_components(
    path: AnyPath,
    observations: Sequence[Observation],
    names: Sequence[str],
    component: Callable[[int, int], Cube],
) -> None:
    """Write one (band, y, x) HDU per source and observation: noiseless, as that observation sees it, in its unit.

    `component` returns the picture [nJy/pix] of a source (by its row) in an observation (by its index). SOURCE is
    the 0-based row of the source, OBS the observation, NAME the source's name; what has no row follows behind.
    """
    path = Path(path)

    def hdus() -> Iterator[fits.ImageHDU]:
        for row, name in enumerate(names):
            for i, observation in enumerate(observations):
                hdu = image_hdu(observation, observation.to_input_unit(component(row, i)), f"{row} {observation.name}")
                hdu.header["SOURCE"] = (row, "0-based row of the peaks or the catalog")
                hdu.header["OBS"] = (observation.name, "observation that sees it so")
                hdu.header["NAME"] = (name, "name of the source")
                yield hdu

    _write(path, hdus())


def write_catalog(path: AnyPath, catalog: Writable) -> None:
    """Write a catalog in the format of the path's suffix."""
    path = Path(path)
    with replacing(path) as part:
        catalog.write(part)


def write_tables(path: AnyPath, tables: Mapping[str, Writable]) -> list[Path]:
    """Write the catalog, which is the first of the tables, to a path and the others beside it; return all paths.

    Beside `catalog.ecsv` they are `motions.ecsv` and so on; beside `field.fits`, `field_motions.fits`.
    """
    path = Path(path)
    first = next(iter(tables))
    prefix = "" if path.stem == first else f"{path.stem}_"
    written = []
    for name, table in tables.items():
        written.append(path if name == first else path.with_name(f"{prefix}{name}{path.suffix}"))
        write_catalog(written[-1], table)
    return written


def write_summary(path: AnyPath, summary: Mapping[str, Any]) -> None:
    """Write numbers, texts, lists and mappings as JSON; what is not finite becomes null."""
    path = Path(path)
    with replacing(path) as part:
        part.write_text(json_text(summary) + "\n", "utf-8")


def json_text(summary: Mapping[str, Any]) -> str:
    """Return numbers, texts, lists and mappings as JSON; what is not finite becomes null."""
    return json.dumps(_plain(summary), indent=2, ensure_ascii=False, allow_nan=False)


def image_hdu(observation: Observation, cube: Cube, name: str) -> fits.ImageHDU:
    """Return the cube as an HDU with the observation's place on the sky, bands and unit."""
    hdu = fits.ImageHDU(np.asarray(cube, dtype=np.float32))
    header = hdu.header
    # set on the header: as an argument astropy would capitalise it
    header["EXTNAME"] = name
    if observation.wcs is not None:
        header.update(observation.wcs.to_header())
        header["WCSAXES"] = 2
    surveys = {channel.survey for channel in observation.channels}
    if len(surveys) == 1:
        header["SURVEY"] = surveys.pop()
    for i, (channel, size) in enumerate(zip(observation.channels, observation.njy_per_unit, strict=True)):
        header[f"BAND{i + 1}"] = channel.band
        if channel.epoch is not None:
            header[f"EPOCH{i + 1}"] = channel.epoch
        header[f"NJY{i + 1}"] = (float(size), "[nJy] one unit of this band")
    header["BUNIT"] = ("count" if observation.unit == UNKNOWN_UNIT else observation.unit, "per pixel")
    is_calibrated = observation.unit != UNKNOWN_UNIT and njy_per_unit(observation.unit) is None
    if is_calibrated and np.ptp(observation.njy_per_unit) == 0 and observation.njy_per_unit[0] != 1.0:
        size = float(observation.njy_per_unit[0])
        header["MAGZERO"] = (AB_ZERO_POINT_NJY - 2.5 * math.log10(size), "[mag] AB zero point")
    return hdu


def _write(path: Path, hdus: Iterable[fits.ImageHDU]) -> None:
    """Write HDUs as they come, so that never more than one is in memory."""
    with replacing(path) as part, part.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        for hdu in hdus:
            file.write(hdu.header.tostring().encode("ascii"))
            data = np.ascontiguousarray(hdu.data, dtype=">f4").tobytes()
            file.write(data + bytes(-len(data) % FITS_BLOCK))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)

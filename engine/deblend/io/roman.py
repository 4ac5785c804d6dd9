"""Images of the Roman space telescope: ASDF files with data, err, dq and a WCS that is a chain of transforms (gwcs)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from deblend.guard import reason_of
from deblend.io.asdf_file import opened_asdf
from deblend.io.fits_file import Cards, Cut, FitsImage, Piece
from deblend.io.parts import Parts
from deblend.io.weights import Kind
from deblend.io.world import residual_remarks
from deblend.sky import TangentWcs

TREE = "roman"
VARIANCES = ("var_poisson", "var_rnoise", "var_flat", "var_sky")
"""Parts of the variance; they add up where there is no err."""


def is_roman(path: Path) -> bool:
    """Tell whether a file is ASDF, by its name."""
    return path.suffix.lower() == ".asdf"


def roman_parts(path: Path, cut: Cut | None = None) -> Parts:
    """Read the image of a file of Roman [MJy/sr], or a piece of it, with its errors, its data quality and its WCS.

    The WCS is replaced by the affine map that fits it best over the image. Raises ValueError, naming the file, where
    it is missing or damaged, is no image of Roman, or the libraries that read it are not installed.
    """
    try:
        import asdf  # noqa: F401
        import gwcs  # noqa: F401 - registers how a WCS is read
    except ImportError as error:
        raise ValueError(
            f"{path}: reading ASDF files needs the libraries asdf and gwcs; install napari-deblend[roman]."
        ) from error
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; check the path.")
    with warnings.catch_warnings():
        # tags of Roman's own data models are read as the plain trees that they are
        warnings.simplefilter("ignore")
        try:
            with opened_asdf(path) as file:
                tree = file.tree.get(TREE)
                if not isinstance(tree, Mapping) or "data" not in tree:
                    raise ValueError("it has no roman.data")
                tree = {**tree, "data": _array(tree["data"]), "unit": str(getattr(tree["data"], "unit", "") or "")}
        except Exception as error:  # asdf raises whatever its parsers do
            raise ValueError(
                f"{path}: cannot be read as an image of Roman ({reason_of(error)}); give another file."
            ) from error
    return _parts(path, tree, cut)


def _parts(path: Path, tree: Mapping[str, Any], cut: Cut | None) -> Parts:
    meta = tree.get("meta", {})
    photometry = meta.get("photometry") or {}
    area = _number(photometry.get("pixel_area", photometry.get("pixelarea_steradians")))
    factor, remarks = _megajanskys(tree, meta, photometry)
    own = fits.Header({"TELESCOP": "Roman", "BUNIT": "MJy/sr" if factor is not None else "DN/s"})
    if area is not None:
        own["PIXAR_SR"] = area
    band = (meta.get("instrument") or {}).get("optical_element")
    if band:
        own["FILTER"] = str(band)
    scale = 1.0 if factor is None else factor
    shape = tree["data"].shape
    if len(shape) != 2:
        raise ValueError(f"{path}, {TREE}.data: holds {len(shape)}-D data of shape {shape}; an image (y, x) is needed.")
    piece = None if cut is None else Piece(cut(_header(meta, shape), shape, f"{path}, {TREE}.data"), shape)
    slices = (slice(None), slice(None)) if piece is None else piece.box.slices

    def part(name: str, data: np.ndarray, **cards: Any) -> FitsImage:
        header = own.copy()
        header.update(cards)
        if data.shape != shape:
            raise ValueError(f"{path}, {TREE}.{name}: its shape {data.shape} is not that of {TREE}.data, {shape}.")
        return FitsImage(path, f"{TREE}.{name}", data[slices], Cards(header, fits.Header()), piece=piece)

    image = part("data", tree["data"] * scale)
    mask = part("dq", np.asarray(tree["dq"]), EXTNAME="DQ") if tree.get("dq") is not None else None
    return Parts(image, _place(meta, image, remarks), _weights(tree, scale, part), mask)


def _megajanskys(
    tree: Mapping[str, Any], meta: Mapping[str, Any], photometry: Mapping[str, Any]
) -> tuple[float | None, list[str]]:
    """Return what one unit of the data is [MJy/sr], None where it is not told; and remarks."""
    unit = tree["unit"].replace(" ", "")
    steps = meta.get("cal_step") or {}
    is_mosaic = any(key in meta for key in ("resample", "mosaic", "coadd_info"))
    is_calibrated = str(steps.get("flux", "")).upper() == "COMPLETE"
    if unit.lower() in ("mjy/sr", "mjysr-1") or (not unit and (is_mosaic or is_calibrated)):
        return 1.0, [] if unit else ["has no unit; it is a mosaic or its flux is calibrated, so MJy/sr is assumed."]
    factor = _number(photometry.get("conversion_megajanskys"))
    if factor is None:
        return None, []
    return factor, [f"counts per second were multiplied by {factor:.5g} MJy/sr (conversion_megajanskys)."]


def _weights(tree: Mapping[str, Any], scale: float, part: Any) -> tuple[FitsImage, Kind] | None:
    if tree.get("err") is not None:
        return part("err", _array(tree["err"]) * scale), Kind.RMS
    found = [name for name in VARIANCES if tree.get(name) is not None]
    if not found:
        return None
    return part(" + ".join(found), sum(_array(tree[name]) for name in found) * scale**2), Kind.VARIANCE


def _header(meta: Mapping[str, Any], shape: tuple[int, int]) -> fits.Header:
    """Return FITS cards that say well enough where the image lies to cut a piece out of it."""
    transform = meta.get("wcs")
    if transform is None:
        return fits.Header()
    return TangentWcs.fitted(transform.pixel_to_world_values, shape).to_header()


def _place(meta: Mapping[str, Any], image: FitsImage, remarks: list[str]) -> tuple[TangentWcs | None, tuple[str, ...]]:
    transform = meta.get("wcs")
    if transform is None:
        return None, (*remarks, "has no WCS; positions are known in pixels only.")
    left, low = (0, 0) if image.piece is None else (image.piece.box.x[0], image.piece.box.y[0])

    def pixel_to_sky(x: np.ndarray, y: np.ndarray) -> Any:
        return transform.pixel_to_world_values(x + left, y + low)

    wcs = TangentWcs.fitted(pixel_to_sky, (image.data.shape[0], image.data.shape[1]))
    return wcs, (*remarks, *residual_remarks(wcs, "(gwcs)"))


def _array(value: Any) -> np.ndarray:
    return np.array(getattr(value, "value", value), dtype=np.float64)


def _number(value: Any) -> float | None:
    number = getattr(value, "value", value)
    return float(number) if number is not None and np.isfinite(float(number)) and float(number) > 0 else None

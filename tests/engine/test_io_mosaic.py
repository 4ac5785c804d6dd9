"""Large mosaics: pieces and overviews are read without the rest; `benchmarks/mosaic.py` measures 20,000² pixels."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import fits

from deblend.io import is_large, overviews

PROJECT = Path(__file__).resolve().parents[2]
SIDE = 3000


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mosaic", PROJECT / "benchmarks" / "mosaic.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mosaics")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "rows", "squares"])
def test_a_piece_costs_no_more_than_a_piece(kind: str, benchmark: ModuleType, folder: Path) -> None:
    """In a process of its own: less memory than the image, 36 MB, and the right pixels."""
    path = benchmark.make(folder, kind, SIDE)
    found = benchmark.measure(path, folder, SIDE)
    assert found["shape"] == [300, 300] and found["megabytes"] < benchmark.GOAL_MEGABYTES
    assert found["megabytes"] - found["import_megabytes"] < 30
    truth = np.concatenate([benchmark.strip(first, 500, SIDE) for first in (1000, 1500)])
    # quantized noise is off by a sixteenth of itself, divided by √12, in each of 90000 px
    assert found["sum"] == pytest.approx(
        truth[350:650, 1350:1650].sum(), abs=5 * 0.02 * 300 if kind != "plain" else 0.1
    )


def test_an_overview_is_the_image_made_small(tmp_path: Path) -> None:
    """Means along rows, of every tenth row, at the right place."""
    y, x = np.mgrid[:300, :203]
    path = tmp_path / "ramp.fits"
    fits.writeto(path, (1000.0 * y + x).astype("f8"))
    (view,) = overviews(path, side=30)
    assert view.is_whole and view.step == 10 and view.pixels.shape == (30, 21)
    np.testing.assert_allclose(view.pixels[:, 0], 1000.0 * (10 * np.arange(30) + 5) + 4.5)
    np.testing.assert_allclose(view.pixels[0, :20], 5000.0 + 10 * np.arange(20) + 4.5)
    assert view.pixels[0, 20] == 5000.0 + 201.0, "the last column has three pixels"


def test_an_overview_grows_from_coarse_to_fine(tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(size=(640, 640)).astype("f4")
    path = tmp_path / "tiles.fits.fz"
    fits.CompImageHDU(data, compression_type="RICE_1", tile_shape=(20, 20)).writeto(path)
    views = list(overviews(path, side=64, patience=0.0))
    assert len(views) == 32, "one after every row of tiles"
    assert [view.is_whole for view in views] == [False] * 31 + [True]
    last = views[-1].pixels
    np.testing.assert_allclose(last, data[5::10].reshape(64, 64, 10).mean(axis=2), atol=0.1)
    assert all(np.isfinite(view.pixels).all() for view in views)
    off = [np.mean(np.any(view.pixels != last, axis=1)) for view in views]
    assert off == sorted(off, reverse=True) and off[0] > 0.9


def test_large_is_what_has_a_long_side(tmp_path: Path) -> None:
    for name, shape in (("long.fits", (2, 4097)), ("short.fits", (4096, 4))):
        fits.writeto(tmp_path / name, np.zeros(shape, "u1"))
    assert is_large(tmp_path / "long.fits") and not is_large(tmp_path / "short.fits")

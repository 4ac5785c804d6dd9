"""Results in files: units, headers, rows, and never half a file."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from deblend.io import (
    read_observations,
    write_catalog,
    write_components,
    write_models,
    write_residuals,
    write_summary,
)
from deblend.observe import Observation, gaussian_psf
from deblend.sky import Channel, TangentWcs

NJY = 57.543993733715


@pytest.fixture
def observations(rng: np.random.Generator) -> tuple[Observation, Observation]:
    """A cube in counts with a WCS, and one plane in nJy without."""
    wcs = TangentWcs((150.0, 2.2), (9.5, 7.5), ((-0.13, 0.1), (0.1, 0.13)))
    images, weights = rng.normal(size=(2, 16, 20)), np.full((2, 16, 20), 4.0)
    weights[1, 2, 3] = 0
    channels = [Channel("HSC", "g"), Channel("HSC", "r")]
    one = Observation.from_arrays(
        images, gaussian_psf(3.0), weights, channels=channels, name="HSC", wcs=wcs, unit="count", njy_per_unit=NJY
    )
    two = Observation.from_arrays(rng.normal(size=(30, 33)), gaussian_psf(3.0), channels=["F814W"], name="hst")
    return one, two


@pytest.fixture
def models(observations: tuple[Observation, Observation], rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(100, 1, o.images.shape).astype("f4") for o in observations]


def test_models_and_residuals(tmp_path: Path, observations: tuple[Observation, ...], models: list[np.ndarray]) -> None:
    write_models(tmp_path / "models.fits", observations, models)
    write_residuals(tmp_path / "residuals.fits", observations, models)
    with fits.open(tmp_path / "models.fits") as model, fits.open(tmp_path / "residuals.fits") as residual:
        model.verify("exception")
        assert len(model) == len(residual) == 3
        for hdu, left, observation, expected in zip(model[1:], residual[1:], observations, models, strict=True):
            assert hdu.header["EXTNAME"] == left.header["EXTNAME"] == observation.name
            assert hdu.data.shape == observation.images.shape
            np.testing.assert_allclose(hdu.data, observation.to_input_unit(expected), rtol=1e-5)
            usable = observation.weights > 0
            np.testing.assert_array_equal(np.isnan(left.data), ~usable)
            np.testing.assert_allclose(
                (hdu.data + left.data)[usable], observation.to_input_unit(observation.images)[usable], atol=1e-4
            )
            bands = [hdu.header[f"BAND{i + 1}"] for i in range(hdu.data.shape[0])]
            assert bands == [channel.band for channel in observation.channels]
        assert model["HSC"].header["BUNIT"] == "count" and model["hst"].header["BUNIT"] == "nJy"
        assert model["HSC"].header["MAGZERO"] == pytest.approx(27.0) and "MAGZERO" not in model["hst"].header
        assert "CTYPE1" not in model["hst"].header
        x, y = np.array([0.0, 5.0, 19.0]), np.array([0.0, 9.0, 15.0])
        assert observations[0].wcs is not None
        expected_sky = observations[0].wcs.pixel_to_sky(x, y)
        np.testing.assert_allclose(WCS(model["HSC"].header, naxis=2).all_pix2world(x, y, 0), expected_sky, atol=1e-9)


def test_a_model_can_be_read_as_an_image(
    tmp_path: Path, observations: tuple[Observation, ...], models: list[np.ndarray]
) -> None:
    write_models(tmp_path / "models.fits", observations, models)
    fits.PrimaryHDU(gaussian_psf(3.0)).writeto(tmp_path / "psf.fits")
    for observation, model in zip(observations, models, strict=True):
        path = f"{tmp_path / 'models.fits'}[{observation.name}]"
        (again,) = read_observations(path, psf=tmp_path / "psf.fits")
        np.testing.assert_allclose(again.images, model, rtol=1e-5)
        assert again.channels == observation.channels and again.name == observation.name
        assert again.grid.is_same_as(observation.grid)


def test_components_keep_their_rows(tmp_path: Path, observations: tuple[Observation, ...]) -> None:
    def component(row: int, i: int) -> np.ndarray:
        return np.full(observations[i].images.shape, 0.0 if row == 1 else 10.0 * row + i, dtype="f4")

    write_components(tmp_path / "components.fits", observations, ["a", "b", "c"], component)
    with fits.open(tmp_path / "components.fits") as hdus:
        hdus.verify("exception")
        found = [(h.header["SOURCE"], h.header["OBS"], h.header["NAME"]) for h in hdus[1:]]
        assert found == [(row, o.name, "abc"[row]) for row in range(3) for o in observations]
        assert len({h.header["EXTNAME"] for h in hdus[1:]}) == 6
        for hdu in hdus[1:]:
            row, i = hdu.header["SOURCE"], [o.name for o in observations].index(hdu.header["OBS"])
            assert hdu.data.shape == observations[i].images.shape and hdu.data.ndim == 3
            np.testing.assert_allclose(hdu.data, component(row, i) / observations[i].njy_per_unit[0], rtol=1e-6)


def test_an_unknown_unit_claims_no_zero_point(tmp_path: Path, rng: np.random.Generator) -> None:
    fits.PrimaryHDU(rng.normal(size=(20, 20))).writeto(tmp_path / "one.fits")
    fits.PrimaryHDU(gaussian_psf(3.0)).writeto(tmp_path / "psf.fits")
    observations = read_observations(tmp_path / "one.fits", psf=tmp_path / "psf.fits")
    write_models(tmp_path / "models.fits", observations, [observations[0].images])
    header = fits.getheader(tmp_path / "models.fits", 1)
    assert header["BUNIT"] == "count" and "MAGZERO" not in header


class Mode(Enum):
    FAST = "fast"


def test_a_summary_is_json_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(
        path,
        {"chi2": np.float32(1.5), "bad": np.nan, "shape": (2, np.int64(3)), "path": tmp_path, "per": {"σ": Mode.FAST}},
    )
    text = path.read_text("utf-8")
    assert json.loads(text) == {"chi2": 1.5, "bad": None, "shape": [2, 3], "path": str(tmp_path), "per": {"σ": "fast"}}


class Full:
    """A catalog that runs out of disk halfway."""

    def write(self, path: Any) -> None:
        Path(path).write_text("half a cat")
        raise OSError("No space left on device")


def test_a_crash_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, observations: tuple[Observation, ...], models: list[np.ndarray]
) -> None:
    (tmp_path / "catalog.ecsv").write_text("old")
    (tmp_path / "components.fits").write_text("old")
    with pytest.raises(OSError, match="No space"):
        write_catalog(tmp_path / "catalog.ecsv", Full())

    def component(row: int, i: int) -> np.ndarray:
        if row == 1:
            raise KeyboardInterrupt
        return models[i]

    with pytest.raises(KeyboardInterrupt):
        write_components(tmp_path / "components.fits", observations, ["a", "b"], component)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["catalog.ecsv", "components.fits"]
    assert all(p.read_text() == "old" for p in tmp_path.iterdir())

"""The catalog: fluxes with units, sizes and centroids that are true, blendedness, and files that give them back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u
import galsim
import numpy as np
import pytest
from astropy.table import QTable

from deblend import Catalog, Channel, Parameter, Scene, measure
from deblend.measure import column_key
from deblend.measure.shapes import centroid, half_light_radius
from deblend.sky import TangentWcs

FLUX_COLUMNS = ("flux_image_g", "flux_image_i")


@pytest.fixture(scope="module")
def scene(systems: Any) -> Scene:
    return systems.one_of_each()


@pytest.fixture(scope="module")
def catalog(systems: Any, scene: Scene) -> Catalog:
    observation = systems.observe(scene)
    return measure(scene, [observation], systems.program([observation], scene))


def test_one_row_per_source_with_units(catalog: Catalog, scene: Scene) -> None:
    table = catalog.table
    assert list(table["kind"]) == [s.kind for s in scene.sources]
    assert list(table["id"]) == [s.id for s in scene.sources]
    assert list(table["name"]) == ["1", "2", "3", "4", "5"]
    for band, column in enumerate(FLUX_COLUMNS):
        assert table[column].unit == u.nJy and table[column.replace("flux", "flux_err")].unit == u.nJy
        np.testing.assert_allclose(table[column].to_value(u.nJy), scene.fluxes[:, band])
        assert np.all(table[column.replace("flux", "flux_err")] > 0 * u.nJy)
        # AB magnitudes, by astropy
        expected = table[column].to(u.ABmag).value
        np.testing.assert_allclose(table[column.replace("flux", "mag")].to_value(u.mag), expected, atol=2e-3)
    np.testing.assert_allclose(table["x"].to_value(u.pix), [s.x for s in scene.sources])
    assert table["half_light_radius"].unit == u.pix


def test_sizes_and_centroids_are_those_of_the_scene(catalog: Catalog, scene: Scene) -> None:
    table = catalog.table
    np.testing.assert_allclose(table["centroid_x"].value, [s.x for s in scene.sources], atol=0.03)
    np.testing.assert_allclose(table["centroid_y"].value, [s.y for s in scene.sources], atol=0.03)
    radii = dict(zip(table["kind"], table["half_light_radius"].to_value(u.pix), strict=True))
    assert radii["point"] < 0.3
    assert radii["gaussian"] == pytest.approx(2.2, rel=0.03)
    # its box ends at five half-light radii, and an exponential has 1 % of its light outside
    assert radii["sersic"] == pytest.approx(2.4, rel=0.08)


def test_signal_to_noise_is_that_of_the_whole_model(catalog: Catalog, systems: Any, scene: Scene) -> None:
    star = systems.scene(("point", 24.0, 24.0, (100.0, 0.0)))
    table = measure(star, [systems.observe(star)], errors=False).table
    assert table["snr"][0] == pytest.approx(100 * np.sqrt(np.sum(systems.psfs[0] ** 2)), rel=0.02)
    assert np.all(catalog.table["snr"] > 30)


@pytest.mark.parametrize("radius", [1.0, 2.5, 4.0])
@pytest.mark.parametrize("index", [0.5, 1.0, 2.0])
def test_half_light_radii_against_galsim(index: float, radius: float) -> None:
    """The model PSF is taken off in quadrature: exact for Gaussians, off by a fifth for cusps of its own size."""
    sigma, offset = 0.85, (0.3, -0.4)
    seen = galsim.Convolve([galsim.Sersic(n=index, half_light_radius=radius), galsim.Gaussian(sigma=sigma)])
    picture = seen.drawImage(nx=81, ny=81, scale=1.0, offset=offset, method="no_pixel", dtype=float).array
    tolerance = 0.02 if index == 0.5 else 0.25 if radius < 2 else 0.05
    assert half_light_radius(picture, offset, sigma) == pytest.approx(radius, rel=tolerance)
    x, y = centroid(picture)
    assert (x, y) == pytest.approx(offset, abs=0.02)


def test_a_picture_without_light_has_no_size() -> None:
    assert np.isnan(half_light_radius(np.zeros((5, 5)), (0.0, 0.0), 0.85))
    assert np.isnan(centroid(np.zeros((5, 5)))).all()


class TestBlendedness:
    """How much of the light under a source is not its own."""

    def of(self, systems: Any, *sources: tuple[Any, ...]) -> np.ndarray:
        scene = systems.scene(*sources)
        table = measure(scene, [systems.observe(scene)], errors=False).table
        return np.asarray(table["blendedness"])

    def test_alone_it_is_zero(self, systems: Any) -> None:
        far = self.of(systems, ("point", 10.0, 10.0, (300.0, 300.0)), ("point", 38.0, 38.0, (900.0, 900.0)))
        np.testing.assert_allclose(far, 0.0, atol=1e-3)

    def test_of_equal_twins_it_is_a_half(self, systems: Any) -> None:
        twins = self.of(systems, ("point", 24.2, 24.0, (300.0, 300.0)), ("point", 24.2, 24.0, (300.0, 300.0)))
        np.testing.assert_allclose(twins, 0.5, atol=1e-3)

    def test_a_faint_one_on_top_of_a_bright_one_is_nearly_all_blended(self, systems: Any) -> None:
        bright, faint = self.of(systems, ("point", 24.2, 24.0, (900.0, 900.0)), ("point", 24.2, 24.0, (100.0, 100.0)))
        assert bright == pytest.approx(0.1, abs=1e-3) and faint == pytest.approx(0.9, abs=1e-3)

    def test_it_falls_with_distance(self, systems: Any) -> None:
        values = [
            self.of(systems, ("point", 20.0, 24.0, (300.0, 300.0)), ("point", 20.0 + d, 24.0, (300.0, 300.0)))[0]
            for d in (1.0, 3.0, 6.0)
        ]
        assert values[0] > values[1] > values[2] > 0


@pytest.mark.parametrize("ending", [".ecsv", ".fits"])
def test_a_catalog_comes_back_from_its_file(catalog: Catalog, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"catalog{ending}"
    catalog.write(path)
    catalog.write(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "no half-written file stays"
    back = QTable.read(path)
    assert back.colnames == catalog.table.colnames
    for name in back.colnames:
        before, after = catalog.table[name], back[name]
        assert getattr(after, "unit", None) == getattr(before, "unit", None), name
        if before.dtype.kind == "f":
            np.testing.assert_allclose(np.asarray(after), np.asarray(before), rtol=1e-6)
        else:
            assert [str(v) for v in after] == [str(v) for v in before]
    meta = {key.lower(): value for key, value in back.meta.items()}
    assert any("napari-deblend" in str(value) for value in meta.values())


def test_other_formats_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    for name in ("catalog.csv", "catalog"):
        with pytest.raises(ValueError, match=r"written as \.ecsv or \.fits"):
            catalog.write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_place_on_the_sky_where_there_is_one(systems: Any) -> None:
    wcs = TangentWcs((150.1, 2.2), (20.0, 15.0), ((-0.168, 0.01), (0.01, 0.168)))
    plain = systems.scene(("point", 30.2, 17.1, (300.0, 300.0)))
    assert "ra" not in measure(plain, [systems.observe(plain)], errors=False).table.colnames
    on_sky = replace(plain, grid=replace(plain.grid, wcs=wcs))
    table = measure(on_sky, [systems.observe(plain, wcs=wcs)], errors=False).table
    ra, dec = wcs.pixel_to_sky(30.2, 17.1)
    assert table["ra"][0].to_value(u.deg) == pytest.approx(float(ra), abs=1e-9)
    assert table["dec"][0].to_value(u.deg) == pytest.approx(float(dec), abs=1e-9)


def test_without_errors_and_without_sources(systems: Any) -> None:
    star = systems.scene(("point", 24.0, 24.0, (100.0, 50.0)))
    quick = measure(star, [systems.observe(star)], errors=False).table
    assert not [name for name in quick.colnames if "err" in name]
    empty = measure(systems.empty(), [systems.blank()], errors=True).table
    assert len(empty) == 0
    assert set(FLUX_COLUMNS) <= set(empty.colnames)


def test_a_flux_that_is_not_positive_has_no_magnitude(systems: Any) -> None:
    scene = systems.scene(("point", 12.0, 12.0, (0.0, 50.0)), ("point", 34.0, 34.0, (-3.0, 50.0)))
    free = [systems.with_spectrum(s, Parameter(s.flux)) for s in scene.sources]
    table = measure(scene.with_sources(free), [systems.blank()], errors=False).table
    assert np.isnan(table["mag_image_g"].value).all()
    np.testing.assert_array_equal(table["flux_image_g"].value, [0.0, -3.0])


def test_columns_are_named_after_channels() -> None:
    assert column_key(Channel("HSC", "g")) == "HSC_g"
    assert column_key(Channel("HST ACS", "F814W", "2021-03")) == "HST_ACS_F814W_2021_03"

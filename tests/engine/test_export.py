"""Catalogs in every format that is offered, and sources as DS9 regions: written, and read again."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from deblend import Scene, empty_scene, make_source, measure
from deblend.io import read_observations, read_positions, write_regions
from deblend.io.tables import read_table
from deblend.measure.catalog import FORMATS, Catalog
from deblend.observe import Observation, gaussian_psf
from deblend.sky import TangentWcs

WCS = TangentWcs((150.0, 2.2), (20.0, 21.5), ((-0.16, 0.04), (0.04, 0.16)))


def blend(wcs: TangentWcs | None) -> tuple[Observation, Scene]:
    """A star and a long galaxy."""
    images = np.random.default_rng(2).normal(size=(2, 40, 44))
    observation = Observation.from_arrays(images, gaussian_psf(3.0), channels=["g", "r"], name="HSC", wcs=wcs)
    galaxy = make_source("sersic", 30.25, 20.5, n_channels=2, flux=(200.0, 300.0), name="long one")
    shape = galaxy.components[0].morphology.parameters["ellipticity"].at(np.array([0.0, 0.8]))
    morphology = galaxy.components[0].morphology.with_parameters(ellipticity=shape)
    from dataclasses import replace

    galaxy = replace(galaxy, components=(replace(galaxy.components[0], morphology=morphology),))
    star = make_source("point", 12.125, 9.75, n_channels=2, flux=(100.0, 100.0))
    return observation, empty_scene([observation]).add(star, galaxy)


@pytest.mark.parametrize("ending", [*FORMATS])
def test_a_catalog_keeps_names_numbers_and_units(ending: str, tmp_path: Path) -> None:
    observation, scene = blend(WCS)
    catalog = measure(scene, [observation], errors=False)
    path = tmp_path / f"catalog{ending}"
    catalog.write(path)
    again = QTable(read_table(path))
    assert [str(name) for name in again["name"]] == ["1", "long one"]
    for name in ("x", "y", "ra", "dec", "flux_HSC_g", "mag_HSC_r", "snr"):
        np.testing.assert_allclose(u.Quantity(again[name]).value, u.Quantity(catalog.table[name]).value, rtol=1e-9)
    assert u.Quantity(again["flux_HSC_g"]).unit == u.nJy and u.Quantity(again["ra"]).unit == u.deg
    assert list(tmp_path.iterdir()) == [path]


def test_another_ending_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.vot.*'catalog\.xls'"):
        Catalog(QTable()).write(tmp_path / "catalog.xls")


@pytest.mark.parametrize("wcs", [WCS, None])
def test_regions_come_back_where_the_sources_are(wcs: TangentWcs | None, tmp_path: Path) -> None:
    observation, scene = blend(wcs)
    path = tmp_path / "sources.reg"
    write_regions(path, scene, observation.grid)
    text = path.read_text()
    assert "long one" in text and "ellipse" in text and "point" in text
    positions = read_positions(path, observation)
    np.testing.assert_allclose(positions.x, [12.125, 30.25], atol=2e-3)
    np.testing.assert_allclose(positions.y, [9.75, 20.5], atol=2e-3)


def test_the_ellipse_of_a_region_holds_half_the_light_and_lies_along_the_galaxy(tmp_path: Path) -> None:
    from regions import PixCoord, Regions

    from deblend import Program

    observation, scene = blend(None)
    path = tmp_path / "sources.reg"
    write_regions(path, scene, observation.grid)
    ellipse = Regions.read(path, format="ds9")[1]
    y, x = np.indices(observation.shape)
    light = Program([observation], scene).component(1, 0)[1]
    inside = ellipse.contains(PixCoord(x, y))
    # behind a PSF some of the light is further out
    assert 0.25 < light[inside].sum() / light.sum() < 0.6
    flat = np.array([x.ravel() - 30.25, y.ravel() - 20.5])
    covariance = (flat * light.ravel()) @ flat.T
    angle = np.degrees(0.5 * np.arctan2(2 * covariance[0, 1], covariance[0, 0] - covariance[1, 1]))
    assert ellipse.angle.to_value(u.deg) == pytest.approx(angle, abs=1.0)
    assert ellipse.width > 1.5 * ellipse.height


def test_the_command_exports_a_session(sample_session: Path, tmp_path: Path) -> None:
    from deblend.cli import main

    out = tmp_path / "results"
    assert main(["export", str(sample_session), "--out", str(out), "--catalog-format", "votable", "-q"]) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {"catalog.vot", "models.fits", "residuals.fits", "components.fits", "regions.reg"}
    (seen,) = read_observations([out / "models.fits"], psf=["gaussian:0.5"])
    assert seen.wcs is not None and seen.shape == (40, 44)
    assert len(read_table(out / "catalog.vot")) == 2
    assert main(["export", str(tmp_path / "none.asdf"), "--out", str(out)]) == 2


@pytest.fixture
def sample_session(tmp_path: Path) -> Path:
    from deblend.io import Session, write_session

    observation, scene = blend(WCS)
    write_session(tmp_path / "work.asdf", Session(scene, (observation,)))
    return tmp_path / "work.asdf"


def test_a_report_has_pictures_catalog_and_assumptions(tmp_path: Path) -> None:
    from matplotlib.image import imread

    from deblend import Program
    from deblend.io import write_report

    observation, scene = blend(WCS)
    program = Program([observation], scene)
    table = measure(scene, [observation], errors=False).table
    what = ([observation], program, table, (30.0, 4.0, 1.1, 1.01), ("A thing that was assumed.",))
    (pdf,) = write_report(tmp_path / "report.pdf", *what)
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF") and content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") == 3
    pages = write_report(tmp_path / "report.png", *what)
    assert [page.name for page in pages] == ["report.png", "report_2.png", "report_3.png"]
    for page in pages:
        picture = imread(page)[..., :3]
        assert picture.shape[0] > 1000 and picture.std() > 0.02
    with pytest.raises(ValueError, match=r"\.pdf or \.png"):
        write_report(tmp_path / "report.doc", *what)

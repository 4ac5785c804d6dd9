"""The catalog: fluxes with units, sizes and centroids that are true, blendedness, and files that give them back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u
import galsim
import numpy as np
import pytest
from astropy.table import QTable

from deblend import (
    Catalog,
    Channel,
    Color,
    LogNormal,
    Observation,
    Parameter,
    Scene,
    SizeMagnitude,
    Status,
    empty_scene,
    make_source,
    measure,
    moving_sources,
)
from deblend.io import write_tables
from deblend.measure import biases_of, column_key, motion_lines, prior_density, widened, widened_percentiles
from deblend.measure.shapes import centroid, half_light_radius
from deblend.observe import gaussian_psf
from deblend.scene import CENTER_SCATTER, CHANNEL_OFFSET_SCATTER
from deblend.scene.track import TRACK_SCATTER
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
            # files mask texts that are empty
            assert [str(v) for v in np.ma.filled(after, "")] == [str(v) for v in before]
    meta = {key.lower(): value for key, value in back.meta.items()}
    assert any("napari-deblend" in str(value) for value in meta.values())


def test_other_formats_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    for name in ("catalog.csv", "catalog"):
        with pytest.raises(ValueError, match=r"written as \.ecsv, \.fits, .*ends in none of them"):
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


def error_of_a_center(systems: Any, flux: np.ndarray) -> np.ndarray:
    """Return the error of x and y of an isolated star [pix], by its Fisher information.

    In each band its place is known to σ / (F √Σ (∂P/∂x)²), and off by 0.1 px; where it was put is known to 0.3 px.
    """
    information = np.zeros(2)
    for noise, psf, light in zip(systems.noise, systems.psfs, flux, strict=True):
        information += 1.0 / (noise**2 / (light**2 * steepness(psf)) + CHANNEL_OFFSET_SCATTER**2)
    return np.asarray(1.0 / np.sqrt(information + CENTER_SCATTER**-2))


def steepness(psf: np.ndarray) -> float:
    """Return Σ (∂P/∂x)² of a round PSF, by Parseval: finite differences would have it a quarter too small."""
    waves = 2.0 * np.pi * np.fft.fftfreq(psf.shape[1])
    return float(np.sum(np.abs(np.fft.fft2(psf) * waves) ** 2) / psf.size)


def test_the_error_of_a_star_s_place_is_known(systems: Any) -> None:
    """32 samples know an error to 12 %; eight of them are averaged for each flux, and 18 % is 4 of that."""
    places = ((11.3, 12.6), (35.2, 11.8), (12.4, 36.1), (36.4, 35.5))
    wcs = TangentWcs((150.1, 60.0), (20.0, 15.0), ((-0.12, 0.0), (0.0, 0.24)))
    # of signal to noise 6 to 600: the brightest know their places no better than channels are believed to agree
    for flux in ((40.0, 40.0), (200.0, 200.0), (4000.0, 4000.0)):
        plain = systems.scene(*(("point", x, y, flux) for x, y in places))
        observation = systems.observe(plain, None, wcs=wcs)
        scene = replace(plain, grid=replace(plain.grid, wcs=wcs))
        table = measure(scene, [observation], systems.program([observation], scene)).table
        expected = error_of_a_center(systems, np.array(flux))
        found = np.array([np.mean(table[name].to_value(u.pix)) for name in ("x_err", "y_err")])
        np.testing.assert_allclose(found, expected, rtol=0.18)
        # pixels are twice as tall as wide, in milliarcseconds of the sky
        np.testing.assert_allclose(table["ra_err"].to_value(u.mas), 120.0 * table["x_err"].value, rtol=1e-6)
        np.testing.assert_allclose(table["dec_err"].to_value(u.mas), 240.0 * table["y_err"].value, rtol=1e-6)


@pytest.mark.slow
def test_places_of_stars_and_galaxies_pull_with_unit_variance(systems: Any, trials: Callable[[int], int]) -> None:
    """Stars and galaxies that were put 0.3 px off, and that each band sees 0.1 px off, as the priors say.

    n realisations have 8n pulls, whose rms is known to 1/√16n; errors of 32 samples are known to 12 %, but their mean
    square over eight sources to 4 %.
    """
    n = trials(6)
    rng = np.random.default_rng(5)
    pulls = []
    for seed in range(n):
        kinds = (("point", 11.3, 12.6), ("galaxy", 35.2, 11.8), ("galaxy", 12.4, 36.1), ("point", 36.4, 35.5))
        sources = systems.scene(*((kind, x, y, (300.0, 300.0)) for kind, x, y in kinds), half_light_radius=2.0)
        truth = sources.with_sources(
            replace(s, channel_offsets=Parameter(rng.normal(scale=CHANNEL_OFFSET_SCATTER, size=(2, 2))))
            for s in sources.sources
        )
        data = systems.observe(truth, seed=700 + seed)
        start = systems.without_fluxes(
            sources.with_sources(
                s.moved(*(np.array([s.x, s.y]) + rng.normal(scale=CENTER_SCATTER, size=2))) for s in sources.sources
            )
        )
        best = systems.fit(start, [data]).run().scene
        table = measure(best, [data], systems.program([data], best)).table
        for axis, name in enumerate(("x", "y")):
            true = np.array([s.center.value[axis] for s in truth.sources])
            pulls.append((table[name].value - true) / table[f"{name}_err"].value)
    spread = np.sqrt(np.mean(np.square(pulls)))
    assert spread == pytest.approx(1.0, abs=4 * np.hypot(1 / np.sqrt(16 * n), 0.04))


def test_a_center_that_is_held_has_no_error(systems: Any) -> None:
    scene = systems.scene(("point", 12.0, 12.0, (300.0, 300.0)), ("point", 34.0, 34.0, (300.0, 300.0)))
    scene = scene.replace(scene.sources[1].with_status(Status.FIXED))
    observation = systems.observe(scene)
    table = measure(scene, [observation], systems.program([observation], scene)).table
    assert table["x_err"][0] > 0 and table["x_err"][1] == 0
    assert "track" not in table.colnames


def test_what_moves_has_its_rate_and_all_tables_are_written(tmp_path: Path) -> None:
    """Against the closed form: places off by e at times t know the rate to e / √Σ (t - t̄)²."""
    times = 61000.0 + np.array([0.0, 1.0, 2.0, 4.0])
    wcs = TangentWcs((150.1, 60.0), (20.0, 15.0), ((-0.2, 0.0), (0.0, 0.2)))
    channels = [Channel("LSST", "r", f"{t:.1f}") for t in times]
    blank = np.zeros((4, 44, 44))
    psf = gaussian_psf(3.0)
    data = Observation.from_arrays(blank, [psf] * 4, np.ones_like(blank), channels=channels, wcs=wcs)
    scene = empty_scene([data])
    moving = moving_sources(scene.channels, 10.0, 30.0, (5.0, -3.0), name="1999 RQ36")
    lit = [replace(s, components=(replace(s.components[0], spectrum=s.components[0].spectrum.at(
        np.where(s.components[0].shines_in, 300.0, 0.0))),)) for s in moving]  # fmt: skip
    still = make_source("point", 33.0, 33.0, n_channels=4, flux=np.full(4, 200.0))
    scene = scene.add(still, *lit)
    catalog = measure(scene, [data])
    table, motions = catalog.table, catalog.motions
    assert motions is not None and len(motions) == 1
    assert list(table["track"]) == ["", *[motions["track"][0]] * 4]
    np.testing.assert_allclose(table["time"].to_value(u.d), [np.nan, *times])
    (row,) = motions
    assert row["name"] == "1999 RQ36" and row["n_epochs"] == 4 and row["time"].to_value(u.d) == times.mean()
    assert row["rate_ra"].to_value(u.mas / u.d) == pytest.approx(-5.0 * 200)
    assert row["rate_dec"].to_value(u.mas / u.d) == pytest.approx(-3.0 * 200)
    ra, dec = wcs.pixel_to_sky(10.0 + 5.0 * 1.75, 30.0 - 3.0 * 1.75)
    assert (row["ra"].value, row["dec"].value) == pytest.approx((float(ra), float(dec)))
    each = np.sqrt(1.0 / (1.0 / (1.0 / (300.0**2 * steepness(psf)) + CHANNEL_OFFSET_SCATTER**2) + TRACK_SCATTER**-2))
    rate = each / np.sqrt(np.sum((times - times.mean()) ** 2))
    found = np.sqrt(np.mean([row[f"rate_{axis}_err"].to_value(u.mas / u.d) ** 2 for axis in ("ra", "dec")]))
    # two axes of 32 samples know it to 9 %
    assert found == pytest.approx(200 * rate, rel=0.36)
    (line,) = motion_lines(motions)
    assert line.startswith("1999 RQ36 moves by (-1000.0 ± ") and "mas/day (east, north), seen at 4 epochs" in line
    names = [path.name for path in write_tables(tmp_path / "catalog.ecsv", catalog.parts)]
    assert names == ["catalog.ecsv", "motions.ecsv"]
    names = [path.name for path in write_tables(tmp_path / "field.fits", catalog.parts)]
    assert names == ["field.fits", "field_motions.fits"]
    back = QTable.read(tmp_path / "field_motions.fits")
    assert back["rate_ra"][0].to_value(u.mas / u.d) == pytest.approx(-1000.0)


def test_errors_of_a_source_come_with_what_they_have_in_common(scene: Scene, catalog: Catalog) -> None:
    table, keys = catalog.table, ("image_g", "image_i")
    covariance = np.asarray(table["covariance"])
    assert covariance.shape == (5, 4, 4) and "flux_image_g, flux_image_i, x, y" in table["covariance"].info.description
    np.testing.assert_allclose(covariance, np.swapaxes(covariance, 1, 2), rtol=1e-9)
    for k, key in enumerate(keys):
        np.testing.assert_allclose(np.sqrt(covariance[:, k, k]), table[f"flux_err_{key}"].value, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(covariance[:, 2, 2]), table["x_err"].value, rtol=1e-6)
    g, i = scene.fluxes.T
    np.testing.assert_allclose(table["color_image_g_image_i"].value, -2.5 * np.log10(g / i), rtol=1e-6)
    # of what is nothing but noise, from the covariance of the fluxes
    slopes = 1.0857 * np.stack([1 / g, -1 / i], axis=1)
    errors = np.sqrt(np.einsum("si,sij,sj->s", slopes, covariance[:, :2, :2], slopes))
    np.testing.assert_allclose(table["color_err_image_g_image_i"].value, errors, rtol=1e-3)
    # noise of 4.2 and 4.0 nJy, of stars of 300 and 420 nJy, alone
    assert table["color_err_image_g_image_i"].value[0] == pytest.approx(
        1.0857 * np.hypot(4.2 / 300, 4.0 / 420), rel=0.5
    )


def test_errors_of_galaxies_are_wider_by_what_beliefs_about_their_shapes_bias(scene: Scene, catalog: Catalog) -> None:
    shares = biases_of(scene, catalog.table["blendedness"].value)
    assert [share > 0 for share in shares] == [False, True, False, False, False]
    assert biases_of(scene, np.ones(5))[1] > shares[1]
    held = scene.sources[1].with_status(Status.FIXED)
    assert biases_of(scene.with_sources([held]), np.ones(1))[0] == 0.0
    errors = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(
        widened(errors, np.array([[100.0, 200.0]]), np.array([0.04])), [[5.0, np.hypot(4.0, 8.0)]]
    )
    wide = widened_percentiles(np.array([97.0, 100.0, 103.0]), 0.04)
    np.testing.assert_allclose(wide, [95.0, 100.0, 105.0])
    least = shares[1] * scene.fluxes[1]
    assert np.all([catalog.table[f"flux_err_image_{b}"].value[1] > least[k] for k, b in enumerate("gi")])
    assert "1 of 5 sources" in catalog.table.meta["widened"]


def test_priors_are_densities_of_the_quantities_that_draws_have(scene: Scene) -> None:
    """Their integrals are 1; a size at a magnitude and a color go with the fluxes of the draws."""
    to_image = scene.grid.affine_to(scene.grid)
    source = scene.sources[3]
    component = source.components[0]
    size = SizeMagnitude(2.0, 24.0, -0.2, 0.1, channel=1)
    spectrum = component.spectrum.believed(Color(1, 0.4, 0.2), 0).believed(LogNormal(700.0, 0.3), 1)
    shape = component.morphology.parameters["half_light_radius"].believed(size)
    component = replace(
        component, spectrum=spectrum, morphology=component.morphology.with_parameters(half_light_radius=shape)
    )
    source = replace(source, components=(component,))
    fluxes = np.array([[500.0, 400.0], [450.0, 420.0]])
    middles = {
        "x": source.anchor[0],
        "flux_image_g": float(np.mean(fluxes[:, 1]) * 10 ** (-0.4 * 0.4)),
        "flux_image_i": 700.0,
        "color_image_g_image_i": 0.4,
        "half_light_radius": 2.0 * 10 ** (-0.2 * (31.4 - 2.5 * np.log10(410.0) - 24.0)),
    }
    for name, middle in middles.items():
        density = prior_density(source, scene.channels, name, fluxes, to_image)
        assert density is not None, name
        reach = max(abs(middle), 1.0) * (40.0 if name == "x" else 4.0)
        grid = np.linspace(middle - reach, middle + reach, 400_001)
        share = np.cumsum(density(grid)) * (grid[1] - grid[0])
        assert share[-1] == pytest.approx(1.0, abs=2e-3), name
        assert np.interp(0.5, share, grid) == pytest.approx(middle, rel=0.03), name
    assert prior_density(source, scene.channels, "blendedness", fluxes, to_image) is None
    assert prior_density(scene.sources[0], scene.channels, "flux_image_g", fluxes, to_image) is None

"""What draws say: pictures, percentiles and covariances are those of the draws, and files give them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from deblend import Draw, Program, Samples, Scene, measure, sample
from deblend.io import write_samples
from deblend.measure.running import RunningPicture
from deblend.program.columns import Column

Drawn = tuple[Program, list[Draw], Samples]


@pytest.fixture(scope="module")
def drawn(systems: Any) -> Drawn:
    """Twelve draws of a star on a galaxy."""
    truth: Scene = systems.scene(
        ("point", 20.3, 24.4, (900.0, 800.0)),
        ("gaussian", 25.1, 25.2, (1500.0, 1700.0), {"half_light_radius": 1.8}),
    )
    program = systems.program([systems.observe(truth)], truth)
    samples = Samples(program)
    draws = list(sample(truth, program.observations, "gaussian", 12, 2, program))
    for draw in draws:
        samples.add(draw)
    return program, draws, samples


def test_pictures_are_mean_and_deviation_of_those_of_the_draws(drawn: Drawn) -> None:
    program, draws, samples = drawn
    shape = program.observations[0].images.shape
    assert len(samples) == 12
    for source in range(2):
        pictures = np.stack([program.pictures_of(d.scene)[source][0].on(shape) for d in draws]).astype(float)
        largest = pictures.max()
        np.testing.assert_allclose(samples.mean(source), pictures.mean(axis=0), atol=1e-5 * largest)
        np.testing.assert_allclose(samples.deviation(source), pictures.std(axis=0, ddof=1), atol=1e-5 * largest)
        assert samples.deviation(source).max() > 0.001 * largest


def test_the_whole_model_scatters_too_where_that_is_kept(drawn: Drawn) -> None:
    program, draws, without = drawn
    samples = Samples(program, with_model=True)
    models = []
    for draw in draws:
        samples.add(draw)
        with program.standing_at(draw.scene):
            models.append(np.array(program.model(0), float))
    largest = np.max(models)
    np.testing.assert_allclose(samples.mean(None), np.mean(models, axis=0), atol=1e-5 * largest)
    np.testing.assert_allclose(samples.deviation(None), np.std(models, axis=0, ddof=1), atol=1e-5 * largest)
    with pytest.raises(ValueError, match="with_model=True"):
        without.mean(None)


def test_a_picture_that_moves_is_dark_where_it_was_not() -> None:
    first, second = Column(np.full((1, 2, 2), 4.0), 1, 1), Column(np.full((1, 2, 2), 2.0), 0, 2)
    running = RunningPicture()
    for column in (first, second):
        running.add(column)
    pictures = np.stack([column.on((1, 4, 4)) for column in (first, second)])
    np.testing.assert_allclose(running.mean((1, 4, 4)), pictures.mean(axis=0))
    np.testing.assert_allclose(running.deviation((1, 4, 4)), pictures.std(axis=0, ddof=1))


def test_quantities_are_those_of_a_catalog_of_each_draw(drawn: Drawn) -> None:
    program, draws, samples = drawn
    quantities = samples.quantities
    table = measure(draws[3].scene, program.observations, program, errors=False).table
    for name in ("flux_image_g", "flux_image_i", "x", "y", "half_light_radius", "blendedness"):
        expected = table[name].value if hasattr(table[name], "unit") and table[name].unit else np.asarray(table[name])
        np.testing.assert_allclose(quantities[name][3].value, expected, rtol=1e-5)
    program.take(draws[0].scene)
    fluxes = np.stack([d.scene.fluxes for d in draws])
    np.testing.assert_allclose(quantities["flux_total"].to_value(u.nJy), fluxes.sum(axis=2))
    color = quantities["color_image_g_image_i"].to_value(u.mag)
    np.testing.assert_allclose(color, -2.5 * np.log10(fluxes[:, :, 0] / fluxes[:, :, 1]))
    np.testing.assert_allclose(samples.flux_ratio(0, 1), fluxes[:, 0] / fluxes[:, 1])
    np.testing.assert_allclose(quantities["flux_fraction_image_g"].sum(axis=1), 1.0)


def test_the_catalog_has_percentiles_and_covariances(drawn: Drawn) -> None:
    _, draws, samples = drawn
    catalog = samples.catalog()
    fluxes = np.stack([d.scene.fluxes for d in draws])
    expected = np.percentile(fluxes[:, :, 0], (16, 50, 84), axis=0)
    for row, percent in zip(expected, (16, 50, 84), strict=True):
        np.testing.assert_allclose(catalog[f"flux_image_g_p{percent}"].to_value(u.nJy), row)
    together = np.array([[*s.fluxes[0], s.sources[0].x, s.sources[0].y] for s in (d.scene for d in draws)])
    np.testing.assert_allclose(catalog["covariance"][0], np.cov(together.T), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(samples.flux_covariance(1), np.cov(fluxes[:, :, 1].T))


def test_what_is_known_in_no_draw_is_not_a_number(systems: Any) -> None:
    """The color of a source without light; one draw alone has no scatter."""
    scene = systems.scene(("point", 22.0, 24.0, (0.0, 0.0)))
    program = systems.program([systems.seen(np.zeros((2, 48, 48)), seed=None)], scene)
    samples = Samples(program)
    assert len(samples.table()) == 0
    assert np.isnan(samples.catalog()["flux_total_p50"][0])
    sampling = sample(scene, program.observations, "rto", 1, 0, program)
    samples.add(Draw(0, sampling.sampler.mode, True, program.snapshot()))
    catalog = samples.catalog()
    assert np.isnan(catalog["color_image_g_image_i_p50"][0]) and np.isnan(catalog["flux_total_std"][0])
    assert catalog["flux_total_p50"][0] == 0 * u.nJy


def test_files_give_back_what_was_drawn(drawn: Drawn, tmp_path: Path) -> None:
    program, _, samples = drawn
    paths = write_samples(tmp_path, program.observations, samples)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    table = QTable.read(tmp_path / "samples.fits")
    assert len(table) == 24 and list(table["draw"][:4]) == [0, 0, 1, 1]
    np.testing.assert_array_equal(table["x"].value, samples.quantities["x"].value.ravel())
    assert table["flux_image_g"].unit == u.nJy
    with fits.open(tmp_path / "mean.fits") as mean, fits.open(tmp_path / "std.fits") as deviation:
        assert len(mean) == len(deviation) == 3 and mean[1].header["SOURCE"] == 0
        np.testing.assert_array_equal(mean[2].data, samples.mean(1))
        np.testing.assert_array_equal(deviation[1].data, samples.deviation(0))
    with fits.open(tmp_path / "covariances.fits") as covariances:
        np.testing.assert_array_equal(covariances[2].data, samples.flux_covariance(0))
        assert len(covariances["SOURCES"].data) == 2


def test_arviz_reads_them(drawn: Drawn, tmp_path: Path) -> None:
    arviz = pytest.importorskip("arviz")
    program, draws, samples = drawn
    chained = Samples(program)
    for draw in draws[:7]:
        chained.add(Draw(draw.index, draw.parameters, True, program.snapshot(), draw.index % 2))
    data = chained.to_arviz()
    assert dict(data.posterior.sizes) == {"chain": 2, "draw": 3, "source": 2}
    data.to_netcdf(str(tmp_path / "samples.nc"))
    read = arviz.from_netcdf(str(tmp_path / "samples.nc")).posterior
    assert read["flux_image_g"].attrs["units"] == "nJy" and list(read["name"].values) == ["1", "2"]
    # draws 0, 2, 4 are those of the first chain
    np.testing.assert_allclose(read["x"][0, :, 1], samples.quantities["x"].value[[0, 2, 4], 1])
    with pytest.raises(ValueError, match="no draws"):
        Samples(program).to_arviz()

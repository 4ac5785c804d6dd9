"""Known stars: drawn, transposed, solved for and measured as what they are, points of fixed places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from scipy.optimize import lsq_linear

from deblend import (
    Channel,
    FitSettings,
    Observation,
    Program,
    Scene,
    StarCatalog,
    StarField,
    TangentWcs,
    compilations,
    detect,
    empty_scene,
    fit,
    make_source,
    measure,
    read_stars,
)
from deblend.detect import in_star_cores
from deblend.infer.errors import draw
from deblend.measure import share
from deblend.observe import PsfField, gaussian_psf
from deblend.program.operator import apply_adjoint, render
from tests.engine.jitted import jitted

WCS = TangentWcs((150.0, 2.0), (32.0, 30.0), ((-0.2, 0.0), (0.0, 0.2)))
TURNED = TangentWcs((150.0, 2.0), (26.0, 24.0), ((-0.24, 0.05), (0.05, 0.24)))
SHAPE = (60, 64)
FORMATS = {".ecsv": "ascii.ecsv", ".fits": "fits", ".csv": "ascii.csv", ".vot": "votable"}
PLACES = np.array([(10.4, 12.3), (52.7, 14.1), (31.2, 30.6), (33.0, 31.1), (12.1, 49.2), (65.5, 58.9), (-2.0, 20.2)])


def varying(epoch: str | None = None) -> Observation:
    """Return a blank image whose PSF varies over it."""
    x, y = np.meshgrid(np.linspace(0, SHAPE[1] - 1, 3), np.linspace(0, SHAPE[0] - 1, 3))
    positions = np.stack([x.ravel(), y.ravel()], axis=1)
    stamps = [[gaussian_psf(2.6 + 0.02 * a), gaussian_psf(2.8 + 0.02 * b)] for a, b in positions]
    field = PsfField.from_stamps(positions, stamps, ("g", "r"))[0]
    channels = [Channel("deep", band, epoch) for band in "gr"]
    zeros = np.zeros((2, *SHAPE))
    return Observation.from_arrays(zeros, field, zeros + 1.0, channels=channels, wcs=WCS, name="deep")


def turned() -> Observation:
    """Return a blank image of another telescope, with a mask."""
    weights = np.full((1, 50, 54), 4.0)
    weights[:, 20:26, 22:30] = 0.0
    channels = [Channel("wide", "i")]
    images = np.zeros_like(weights)
    return Observation.from_arrays(images, [gaussian_psf(2.7)], weights, channels=channels, wcs=TURNED, name="wide")


def points(field: StarField, scene: Scene) -> Scene:
    """Return a scene with sources that are the same stars."""
    n = len(scene.channels)
    places = zip(field.x[:, 0], field.y[:, 0], field.flux, strict=True)
    return scene.add(*(make_source("point", float(x), float(y), n_channels=n, flux=f) for x, y, f in places))


@pytest.fixture(scope="module")
def two_telescopes() -> tuple[list[Observation], Scene]:
    """Images of two telescopes, one with a PSF that varies, and seven stars, one of them off the grid."""
    observations = [varying(), turned()]
    scene = empty_scene(observations)
    row, column = observations[0].grid.affine_to(scene.grid)(PLACES[:, 1], PLACES[:, 0])
    flux = np.random.default_rng(3).uniform(200.0, 900.0, (len(PLACES), 3))
    return observations, scene.with_stars(StarField.at(column, row, 3).with_flux(flux))


def rendered(layout: Any, data: Any, parameters: Any) -> Any:
    return render(layout, data, parameters, ())


def adjoint(layout: Any, data: Any, parameters: Any, images: Any) -> Any:
    return apply_adjoint(layout, data, parameters, (), images, ())


def test_the_layer_draws_what_points_are_and_its_adjoint_is_the_transpose(two_telescopes: Any) -> None:
    observations, scene = two_telescopes
    program = Program(observations, scene)
    layout, data, parameters = program.layout, program.data, program.parameters
    seen = jitted(rendered)(layout, data, parameters)
    sources = Program(observations, points(scene.stars, scene.with_stars(None)))
    for index, image in enumerate(seen):
        expected = sources.model(index)
        scale = program.noise_per_observation[index][:, None, None]
        atol = 2e-5 * expected.max()
        np.testing.assert_allclose(np.asarray(image) * scale, expected, atol=atol)
        np.testing.assert_allclose(program.model(index), expected, atol=atol)
    rng = np.random.default_rng(1)
    images = tuple(rng.normal(size=o.images.shape).astype(np.float32) for o in data.observations)
    back = jitted(adjoint)(layout, data, parameters, images)
    forward = sum(float(np.sum(np.asarray(a, float) * b)) for a, b in zip(seen, images, strict=True))
    assert forward == pytest.approx(float(np.sum(np.asarray(back.stars, float) * parameters.stars)), rel=1e-4)
    # a state of a fit is raised to the same fluxes
    np.testing.assert_allclose(program.snapshot()(parameters).stars.flux, scene.stars.flux, rtol=1e-5)


def test_overlaps_are_those_of_the_pictures(two_telescopes: Any) -> None:
    observations, scene = two_telescopes
    program = Program(observations, scene)
    columns = program.star_columns()
    assert columns is not None
    channel = 0
    for index, p in enumerate(program._prepared):
        pictures = np.stack([c[index].on(p.images.shape) for c in columns.columns]).astype(float)
        for band in range(len(p.noise)):
            expected = np.einsum("iyx,yx,jyx->ij", pictures[:, band], p.weights[band], pictures[:, band])
            atol = 1e-6 * expected.max()
            np.testing.assert_allclose(columns.gram[channel].toarray(), expected, rtol=1e-5, atol=atol)
            channel += 1


def crowd(systems: Any, n: int = 40, seed: int = 2) -> tuple[Scene, StarField]:
    """Return a scene of two galaxies, and stars among them that overlap."""
    rng = np.random.default_rng(seed)
    scene = systems.scene(
        ("gaussian", 16.0, 20.0, (900.0, 700.0), {"half_light_radius": 2.4}),
        ("gaussian", 33.0, 28.0, (1200.0, 1500.0), {"half_light_radius": 2.0}),
    )
    field = StarField.at(rng.uniform(2, 45, n), rng.uniform(2, 45, n), 2)
    return scene, field.with_flux(10 ** rng.uniform(1.5, 3.0, (n, 2)))


def test_fluxes_of_all_are_those_of_the_dense_problem(systems: Any) -> None:
    """Sources and stars, some of which have no light at all, against scipy's bounded least squares."""
    scene, field = crowd(systems)
    field = field.with_flux(np.where(np.arange(40)[:, None] % 4 == 0, 0.0, field.flux))
    truth = Program([systems.blank()], scene.with_stars(field))
    seen = systems.seen(truth.model())
    program = Program([seen], systems.without_fluxes(scene).with_stars(field.with_flux(np.full((40, 2), np.nan))))
    stars = program.scene.stars
    assert stars is not None and stars.is_solved
    columns = program.columns() + program.star_columns().columns  # type: ignore[union-attr]
    pictures = np.stack([c[0].on(seen.images.shape) for c in columns]).astype(float)
    for band, noise in enumerate(program.noise):
        design = pictures[:, band].reshape(len(columns), -1).T / systems.noise[band] * noise
        image = seen.images[band].ravel() / systems.noise[band]
        expected = lsq_linear(design, image, (0.0, np.inf), tol=1e-12).x * noise
        found = np.concatenate([program.scene.fluxes[:, band], stars.flux[:, band]])
        assert np.any(found == 0.0)
        np.testing.assert_allclose(found, expected, atol=0.02 * systems.noise[band])


def test_stars_are_the_same_at_all_epochs_unless_they_vary() -> None:
    observations = [varying("60000"), replace(varying("60400"), name="later")]
    scene = empty_scene(observations)
    field = StarField.at(PLACES[:5, 0], PLACES[:5, 1], 4).with_flux(np.tile([300.0, 500.0], (5, 2)))
    model = Program(observations, scene.with_stars(field))
    rng = np.random.default_rng(4)
    seen = [replace(o, images=model.model(i) + rng.normal(size=o.images.shape)) for i, o in enumerate(observations)]
    unknown = field.with_flux(np.full((5, 4), np.nan))
    tied, free = (
        Program(seen, scene.with_stars(replace(unknown, is_variable=is_variable))).scene.stars
        for is_variable in (False, True)
    )
    np.testing.assert_allclose(tied.flux[:, :2], tied.flux[:, 2:], rtol=1e-9)
    assert np.all(np.abs(tied.flux / field.flux - 1.0) < 0.1)
    assert np.ptp(free.flux[:, ::2], axis=1).min() > 1e-3
    pooled = 0.5 * (free.flux[:, :2] + free.flux[:, 2:])
    np.testing.assert_allclose(tied.flux[:, :2], pooled, rtol=1e-3)


def test_magnitudes_may_be_a_prior(systems: Any) -> None:
    """Data without information leave a star where its magnitude says."""
    magnitudes = np.array([[20.0, 21.0]])
    field = replace(StarField.at([20.0], [20.0], 2), magnitudes=magnitudes)
    assert field.expected[0, 0] == pytest.approx(10 ** (-0.4 * (20.0 - 31.4)))
    tight = Program([systems.blank()], systems.empty().with_stars(field, magnitude_scatter=1e-7)).scene.stars
    np.testing.assert_allclose(tight.flux, field.expected, rtol=1e-3)
    free = Program([systems.blank()], systems.empty().with_stars(field)).scene.stars
    assert np.all(free.flux < 10.0)


def test_a_small_crowd_pulls_with_unit_variance_and_costs_no_compilation(systems: Any) -> None:
    """80 fluxes: the spread of their pulls is known to 1/√160 = 8 %, and errors of 40 draws make it 1 % larger."""
    scene, field = crowd(systems, seed=7)
    model = Program([systems.blank()], scene.with_stars(field)).model()
    unknown = field.with_flux(np.full(field.flux.shape, np.nan))
    seen = systems.seen(model, seed=11)
    running = fit(systems.without_fluxes(scene).with_stars(unknown), [seen])
    best = running.run()
    assert best.outcome.is_success and best.chi2 == pytest.approx(1.0, abs=0.1)
    running.program.take(best.scene)
    draws = draw(running.program, n_samples=40)
    pulls = (best.scene.stars.flux - field.flux) / draws.star_errors
    assert np.mean(pulls) == pytest.approx(0.0, abs=4 / np.sqrt(80))
    assert np.std(pulls) == pytest.approx(1.0, abs=4 / np.sqrt(160))
    # other stars within the room that there is, or none: nothing is compiled
    before = compilations()
    fewer = StarField.at(field.x[:, 0][:30] + 0.3, field.y[:, 0][:30], 2)
    for other in (fewer, None):
        running.edit(scene.with_stars(other))
        next(running)
    assert compilations() == before
    # shares of sources and stars add up to the data, where there is light
    shares = share(best.scene, [seen], running.program)
    total = sum(shares.picture(k) for k in range(2)) + shares.stars[0]
    lit = total != 0
    assert lit.mean() > 0.7
    np.testing.assert_allclose(total[lit], seen.images[lit], rtol=1e-5, atol=1e-4)
    catalog = measure(best.scene, [seen], running.program, errors=False, list_stars=True)
    assert catalog.stars is not None and len(catalog.stars) == 40 and len(catalog.table) == 42
    assert list(catalog.table["kind"][2:4]) == ["known star"] * 2
    assert len(measure(best.scene, [seen], running.program, errors=False).table) == 2


def test_a_scene_of_stars_alone_is_fitted(two_telescopes: Any) -> None:
    observations, scene = two_telescopes
    model = Program(observations, scene)
    seen = [replace(o, images=np.asarray(model.model(i), float)) for i, o in enumerate(observations)]
    unknown = scene.with_stars(scene.stars.with_flux(np.full(scene.stars.flux.shape, np.nan)))
    best = fit(unknown, seen).run()
    # what the mask hides, or lies off the grid, is known less well
    np.testing.assert_allclose(best.scene.stars.flux[:5], scene.stars.flux[:5], rtol=5e-3)


def test_stars_move_as_astropy_moves_them() -> None:
    catalog = StarCatalog(
        np.array([150.0, 269.45]),
        np.array([2.0, 4.69]),
        (),
        np.array([40.0, -798.6]),
        np.array([-90.0, 10337.0]),
        2016.0,
    )
    coordinates = SkyCoord(
        catalog.ra * units.deg,
        catalog.dec * units.deg,
        pm_ra_cosdec=catalog.pm_ra * units.mas / units.yr,
        pm_dec=catalog.pm_dec * units.mas / units.yr,
        distance=20.0 * units.pc,
        obstime=Time(2016.0, format="jyear"),
    ).apply_space_motion(Time(2026.5, format="jyear"))
    ra, dec = catalog.sky_at(2026.5)
    np.testing.assert_allclose(ra, coordinates.ra.deg, atol=2e-8)
    np.testing.assert_allclose(dec, coordinates.dec.deg, atol=2e-8)


def test_a_star_that_moves_is_drawn_where_each_epoch_sees_it() -> None:
    """A hundredth of a degree in a year of 365 days: it leaves its patch."""
    observations = [varying("60000"), replace(varying("60365"), name="later")]
    scene = empty_scene(observations)
    ra, dec = WCS.pixel_to_sky(np.array([20.0, 40.0]), np.array([30.0, 30.0]))
    year = 2000.0 + (60000 - 51544.5) / 365.25
    catalog = StarCatalog(ra, dec, (), np.array([-3000.0, 0.0]), np.array([0.0, 300.0]), year)
    held = scene.with_stars(catalog)
    field = held.stars
    assert field is not None
    scale = 365.0 / 365.25
    np.testing.assert_allclose(field.x[0], [20.0, 20.0, 20.0 + 15.0 * scale, 20.0 + 15.0 * scale], atol=2e-3)
    np.testing.assert_allclose(field.y[1], [30.0, 30.0, 30.0 + 1.5 * scale, 30.0 + 1.5 * scale], atol=2e-3)
    program = Program(observations, held.with_stars(field.with_flux(np.full((2, 4), 400.0))))
    assert int(program.data.stars.count) == 3
    seen = program.seen(jitted(rendered)(program.layout, program.data, program.parameters))
    for index, image in enumerate(seen):
        np.testing.assert_allclose(image, program.model(index), atol=2e-3 * program.noise[0])
        row, column = np.unravel_index(np.argmax(image[0, :, :38]), (60, 38))
        assert (row, column) == (30, (20, 35)[index])


def gaia(path: Path, **changes: Any) -> Path:
    ra, dec = WCS.pixel_to_sky(np.array([20.0, 40.0, 500.0]), np.array([30.0, 12.0, 10.0]))
    columns = {
        "source_id": [11, 12, 13],
        "ra": ra,
        "dec": dec,
        "pmra": [5.0, np.nan, 0.0],
        "pmdec": [-3.0, np.nan, 0.0],
        "ref_epoch": [2016.0] * 3,
        "phot_g_mean_mag": [18.0, 19.0, 20.0],
        "mag_r": [18.2, np.nan, 20.1],
    }
    Table({k: v for k, v in {**columns, **changes}.items() if v is not None}).write(
        path, overwrite=True, format=FORMATS[path.suffix]
    )
    return path


def test_gaias_tables_are_read(tmp_path: Path) -> None:
    observations = [varying("60000")]
    for name in ("stars.ecsv", "stars.fits", "stars.csv", "stars.vot"):
        catalog = read_stars(gaia(tmp_path / name), observations)
        assert catalog.names == ("11", "12")
        np.testing.assert_allclose(catalog.pm_ra, [5.0, 0.0])
        np.testing.assert_allclose(catalog.magnitudes["r"], [18.2, np.nan])
        assert len(catalog.notes) == 4 and any("with cos δ" in note for note in catalog.notes)
    field = empty_scene(observations).with_stars(catalog).stars
    assert field is not None
    np.testing.assert_allclose(field.x[1], 40.0, atol=1e-3)
    without = read_stars(tmp_path / "stars.csv", observations, has_cosine=False)
    np.testing.assert_allclose(without.pm_ra[0], 5.0 * np.cos(np.radians(without.dec[0])))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ra": None}, "need columns ra and dec"),
        ({"ref_epoch": None}, "no column ref_epoch"),
        ({"ref_epoch": [60000.0] * 3}, "Julian years"),
        ({"ra": [10.0, 11.0, 12.0]}, "none of its 3 stars"),
        ({"pmra": ["fast", "slow", "x"]}, "must hold numbers"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        read_stars(gaia(tmp_path / "stars.ecsv", **changes), [varying()])
    assert "stars.ecsv" in str(error.value)


def test_a_missing_table_and_images_without_a_place_are_said(tmp_path: Path, systems: Any) -> None:
    with pytest.raises(ValueError, match="no such table"):
        read_stars(tmp_path / "none.csv", [varying()])
    with pytest.raises(ValueError, match="no WCS"):
        read_stars(gaia(tmp_path / "stars.ecsv"), [systems.blank()])
    with pytest.raises(ValueError, match="2 fluxes"):
        systems.empty().with_stars(StarField.at([1.0], [2.0], 3))


def test_no_source_is_placed_on_a_known_star(systems: Any) -> None:
    scene = systems.scene(
        ("point", 12.0, 12.0, (600.0, 600.0)),
        ("point", 34.0, 14.0, (600.0, 600.0)),
        ("gaussian", 24.0, 34.0, (900.0, 900.0), {"half_light_radius": 2.2}),
    )
    seen = systems.observe(scene)
    known = StarField.at([12.2, 34.0], [11.9, 14.1], 2)
    found = detect([seen], stars=known, solve=False)
    assert len(found) == 1 and found.stars is not None
    assert np.hypot(found.sources[0].x - 24.0, found.sources[0].y - 34.0) < 1.0
    assert len(detect([seen], solve=False)) == 3
    held = systems.empty().with_stars(StarField.at([20.0, 23.0], [20.0, 20.0], 2))
    x, y = np.array([20.5, 21.5, 20.0]), np.array([20.5, 20.0, 26.0])
    np.testing.assert_array_equal(in_star_cores(x, y, held, 3.0), [True, True, False])


@pytest.mark.slow
def test_500_stars_among_30_galaxies(as_shipped: None, trials: Callable[[int], int]) -> None:
    """200² pixels in five bands (half as many along an axis where CI is set).

    n fluxes of stars know the spread of their pulls to 1/√2n. Errors are of 12 draws, so that pulls are as Student's t
    of 12 degrees of freedom is: a tenth wider than a Gaussian.
    """
    side = 200 if trials(4) == 4 else 100
    n_stars, n_galaxies, n = 500 * side**2 // 40000, 30 * side**2 // 40000, 5
    rng = np.random.default_rng(1)
    psfs = [gaussian_psf(width) for width in np.linspace(2.8, 3.4, n)]
    weights = np.ones((n, side, side))

    def observation(images: np.ndarray) -> Observation:
        return Observation.from_arrays(images, psfs, weights, channels=list("grizy"), name="image")

    empty = empty_scene([observation(0.0 * weights)])
    field = StarField.at(*rng.uniform(0, side - 1, (2, n_stars)), n)
    field = field.with_flux(10 ** rng.uniform(1.8, 3.3, (n_stars, 1)) * rng.uniform(0.7, 1.3, (n_stars, n)))
    galaxies = [
        make_source("galaxy", x, y, n_channels=n, flux=f * rng.uniform(0.6, 1.4, n), half_light_radius=h)
        for (x, y), f, h in zip(
            rng.uniform(12, side - 13, (n_galaxies, 2)),
            10 ** rng.uniform(2.7, 3.5, n_galaxies),
            rng.uniform(1.5, 3.0, n_galaxies),
            strict=True,
        )
    ]
    truth = empty.add(*galaxies)
    noise = rng.normal(size=weights.shape)
    unknown = field.with_flux(np.full(field.flux.shape, np.nan))
    off, seconds, errors = {}, {}, {}
    for stars, start in ((None, None), (field, unknown)):
        seen = observation(Program([observation(0.0 * weights)], truth.with_stars(stars)).model() + noise)
        running = fit(truth.with_stars(start), [seen], FitSettings(max_iterations=6, tolerance=1e-12))
        next(running)
        next(running)
        begin = process_time()
        count = sum(1 for _ in running)
        is_crowded = stars is not None
        seconds[is_crowded] = (process_time() - begin) / count
        best = running.best.scene
        running.program.take(best)
        draws = draw(running.program, n_samples=12)
        off[is_crowded], errors[is_crowded] = best.fluxes - truth.fluxes, draws.flux_errors
        if is_crowded:
            pulls = (best.stars.flux - field.flux) / draws.star_errors
            begin = process_time()
            running.program.update(best)
            assert process_time() - begin < 1.0
    assert np.mean(pulls) == pytest.approx(0.0, abs=4 / np.sqrt(pulls.size))
    assert np.std(pulls) == pytest.approx(np.sqrt(12 / 10), abs=6 / np.sqrt(2 * pulls.size))
    # how far off the galaxies are, in units of their errors without the stars
    spread = [np.sqrt(np.mean((off[is_crowded] / errors[False]) ** 2)) for is_crowded in (False, True)]
    # a galaxy's fluxes share its shape: about one and a half numbers each; seven galaxies know a spread to a fifth
    known_to = 0.0 if side == 200 else 1 / np.sqrt(2 * 1.5 * n_galaxies)
    assert spread[1] <= 1.2 * (1 + 2 * known_to) * spread[0]
    # of 31 ms, what does not grow with the image is a third: only whole ones tell what an iteration costs
    assert seconds[True] <= (2.0 if side == 200 else 3.0) * seconds[False]

"""What the catalog warns of, and the data shared out among the sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import QTable

from deblend import Catalog, Observation, Parameter, Scene, make_source, measure
from deblend.measure import MEANINGS, share
from deblend.measure.flags import degenerate_with


@pytest.fixture(scope="module")
def scene(systems: Any) -> Scene:
    return systems.one_of_each()


@pytest.fixture(scope="module")
def observation(systems: Any, scene: Scene) -> Observation:
    """A noisy image with a few masked pixels, one of them in the core of the star."""
    plain = systems.observe(scene, seed=7)
    weights = plain.weights.copy()
    weights[:, 13, 11] = 0.0
    weights[1, 30:33, 20:24] = 0.0
    return replace(plain, weights=weights, images=np.where(weights > 0, plain.images, 1e4))


@pytest.fixture(scope="module")
def catalog(systems: Any, scene: Scene, observation: Observation) -> Catalog:
    star, galaxy, gaussian, sersic, free_form = scene.sources
    dark = free_form.components[0]
    radius = gaussian.components[0].morphology.parameters["half_light_radius"]
    changed = scene.with_sources(
        [
            star,
            replace(galaxy, anchor=(galaxy.x - 1.2, galaxy.y)),
            systems.with_morphology(gaussian, half_light_radius=Parameter(radius.value, lower=radius.value)),
            sersic,
            replace(free_form, components=(replace(dark, spectrum=dark.spectrum.at(np.zeros(2))),)),
        ]
    )
    program = systems.program([observation], changed)
    shares = share(changed, [observation], program)
    return measure(changed, [observation], program, converged=False, shares=shares)


@pytest.mark.parametrize(
    ("flag", "row"), [("masked_core", 0), ("moved", 1), ("at_bound", 2), ("zero_flux", 4)], ids=lambda v: str(v)
)
def test_what_is_wrong_with_one_source_is_said_of_it_alone(catalog: Catalog, flag: str, row: int) -> None:
    np.testing.assert_array_equal(np.asarray(catalog.table[f"flag_{flag}"]), np.arange(5) == row)
    assert catalog.table[f"flag_{flag}"].info.description == MEANINGS[flag]


def test_a_fit_that_had_not_converged_is_said_of_all(catalog: Catalog, systems: Any, scene: Scene) -> None:
    assert np.all(catalog.table["flag_not_converged"])
    assert not np.any(measure(scene, [systems.blank()], errors=False).table["flag_not_converged"])


def test_twins_name_each_other(systems: Any) -> None:
    """Two stars half a pixel apart under a PSF of 3 px, and one alone."""
    scene = systems.scene(
        ("point", 20.0, 20.0, (300.0, 300.0)),
        ("point", 20.5, 20.0, (300.0, 300.0)),
        ("point", 36.0, 36.0, (300.0, 300.0)),
    )
    table = measure(scene, [systems.observe(scene)]).table
    assert list(table["flag_degenerate"]) == [True, True, False]
    assert list(table["degenerate_with"]) == ["2", "1", ""]


def test_degenerate_are_those_whose_errors_go_against_each_other() -> None:
    rng = np.random.default_rng(2)
    shared, own = rng.normal(size=(2, 32, 3))
    draws = np.stack([shared + 0.2 * own, -shared + 0.2 * rng.normal(size=own.shape), own, 0.0 * own], axis=1)
    assert degenerate_with(draws) == [1, 0, None, None]


def test_flags_are_kept_in_files(catalog: Catalog, tmp_path: Path) -> None:
    for name in ("catalog.ecsv", "catalog.fits"):
        catalog.write(tmp_path / name)
        back = QTable.read(tmp_path / name)
        np.testing.assert_array_equal(back["flag_moved"], catalog.table["flag_moved"])


def test_shares_add_up_to_the_data(systems: Any, scene: Scene, observation: Observation) -> None:
    program = systems.program([observation], scene)
    shares = share(scene, [observation], program)
    total = sum(shares.picture(row).astype(float) for row in range(len(scene)))
    models = [program.component(row) for row in range(len(scene))]
    covered = np.sum(np.maximum(models, 0), axis=0) * np.sqrt(observation.weights) > 0.02
    assert covered.mean() > 0.5
    np.testing.assert_allclose(total[covered], observation.images[covered], rtol=1e-6, atol=1e-5)
    assert np.all(total[observation.weights == 0] == 0)
    # where a source is alone, its share is the data, and nearly all of its flux
    alone = covered & (np.sum(np.array(models) > 1e-3, axis=0) == 1) & (models[0] > 0.1)
    assert np.count_nonzero(alone) > 30
    np.testing.assert_allclose(shares.picture(0)[alone], observation.images[alone], rtol=0.05)


def test_shared_fluxes_are_those_of_the_pixels(catalog: Catalog, systems: Any, scene: Scene) -> None:
    """Without a mask in it, the share of a bright galaxy has its flux, to the noise of some hundred pixels."""
    table = catalog.table
    shared, model = (table[f"{name}_image_g"].to_value("nJy") for name in ("flux_shared", "flux"))
    assert shared[1] == pytest.approx(model[1], rel=0.1)
    assert shared[4] == 0


def test_a_background_is_nobodys(systems: Any, scene: Scene) -> None:
    raised = systems.observe(scene, seed=8)
    raised = replace(raised, images=raised.images + 5.0)
    level = scene.calibrating("background")
    level = level.with_calibrations(replace(c, background=c.background.at(5.0)) for c in level.calibrations)
    plain = share(scene, [replace(raised, images=raised.images - 5.0)])
    np.testing.assert_allclose(share(level, [raised]).fluxes, plain.fluxes, rtol=1e-3, atol=0.5)


def test_a_source_that_is_not_on_an_image_has_no_share(systems: Any) -> None:
    scene = systems.scene().add(make_source("point", -2.9, -2.9, n_channels=2, flux=(0.0, 0.0)))
    assert np.all(share(scene, [systems.observe(scene)]).fluxes == 0)

"""How files were understood, in the window: seen, corrected, taken back, and remembered for files of the kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import make_source
from deblend.io import Interpretation, signature
from napari_deblend import remembered
from napari_deblend.document import Document
from napari_deblend.exchanging import as_remembered, exchange_for_corrected
from napari_deblend.widgets.interpretation import InterpretationForm

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A settings folder of its own."""
    monkeypatch.setenv(remembered.FOLDER_VARIABLE, str(tmp_path))
    yield tmp_path


def test_a_correction_is_a_step_and_is_remembered(
    opened: Any, qtbot: Any, settle: Callable[[Any], None], settings: Path
) -> None:
    (before,) = opened.document.observations
    fluxes = opened.document.scene.fluxes
    section = InterpretationForm(opened, 0)
    qtbot.addWidget(section)
    assert "PSF FWHM" in section.facts.text() and not section.correct.isEnabled()
    section.fields["zero_point"].value = "28.9"
    section.fields["survey"].value = "Subaru"
    qtbot.mouseClick(section.correct, Qt.MouseButton.LeftButton)
    (after,) = opened.document.observations
    np.testing.assert_allclose(after.images, 10 * before.images, rtol=1e-6)
    np.testing.assert_allclose(after.weights, before.weights / 100, rtol=1e-6)
    assert [c.survey for c in opened.document.scene.channels] == ["Subaru"] * 3
    settle(opened)
    np.testing.assert_allclose(opened.document.scene.fluxes, 10 * fluxes, rtol=1e-3)
    # the next file of this kind is understood so, and says it
    again = as_remembered(before)
    np.testing.assert_allclose(again.images, after.images)
    assert "corrected as the last files of this kind" in again.notes[-1]
    kept = json.loads((settings / "interpretations.json").read_text())
    assert list(kept) == [signature(before)] and "/" not in json.dumps(kept)
    opened.document.undo()
    assert opened.document.observations == (before,)
    section.links.end()


def test_weights_are_understood_otherwise_by_a_choice(bench: Any, observation: Any, qtbot: Any) -> None:
    bench.open([replace(observation, weights=4.0 * observation.weights)])
    section = InterpretationForm(bench, 0)
    qtbot.addWidget(section)
    choice = section.fields["weights"]
    assert list(choice.choices) == ["", "variance", "rms", "inverse variance", "measured"]
    choice.value = "rms"
    qtbot.mouseClick(section.correct, Qt.MouseButton.LeftButton)
    (after,) = bench.document.observations
    np.testing.assert_allclose(after.weights, 1.0 / 16.0)
    assert "taken for inverse variance; now for rms" in after.notes[-2]
    section.links.end()


def test_what_makes_no_sense_is_said_and_changes_nothing(opened: Any, qtbot: Any) -> None:
    sentences: list[str] = []
    opened.told.connect(sentences.append)
    section = InterpretationForm(opened, 0)
    qtbot.addWidget(section)
    before = opened.document.observations
    section.fields["noise_scale"].value = "many"
    section.correct.click()
    assert "noise scale: 'many' is no number" in sentences[-1] and opened.document.observations is before
    section.reset.click()
    assert section.fields["noise_scale"].value == "1" and not section.correct.isEnabled()


def test_a_file_of_stamps_is_not_remembered(settings: Path, observation: Any) -> None:
    remembered.remember("x", replace(Interpretation.of(observation), psf=str(settings / "star.fits"), survey="S"))
    found = remembered.recall("x")
    assert found is not None and found.psf == "" and found.survey == "S"
    remembered.forget("x")
    assert remembered.recall("x") is None
    remembered.file().write_text("not ours")
    assert remembered.recall("x") is None


def worked_on(*observations: Any) -> Document:
    """Return a document with a star at a third and a galaxy at half of the scene, and two shifts that were fitted."""
    document = Document()
    document.open(observations)
    n, (height, width) = len(document.scene.channels), document.scene.grid.shape
    star = make_source("point", width / 3, height / 3, n_channels=n, flux=np.ones(n), name="star")
    galaxy = make_source("galaxy", width / 2, height / 2, n_channels=n, flux=np.ones(n), half_light_radius=3.0)
    document.add(star, galaxy)
    scene = document.scene.calibrating("shift")
    known = [replace(c, shift=c.shift.at((0.25 * k, -0.5))) for k, c in enumerate(scene.calibrations)]
    document.replace_scene(scene.with_calibrations(known), "Calibrate")
    return document


def test_an_image_that_is_moved_on_the_sky_takes_its_sources_along(settings: Path, observation: Any) -> None:
    document = worked_on(observation)
    before = document.scene
    wanted = replace(Interpretation.of(observation), sky_shift="1.5, -0.5")
    said = exchange_for_corrected(document, 0, wanted)
    after = document.scene
    places = [[(s.x, s.y) for s in scene.sources] for scene in (before, after)]
    np.testing.assert_allclose(places[1], places[0], atol=1e-6)
    skies = [scene.grid.wcs.pixel_to_sky(*places[0][0]) for scene in (before, after)]
    assert (skies[1][1] - skies[0][1]) * 3600 == pytest.approx(-0.5, abs=1e-3)
    assert [s.id for s in after.sources] == [s.id for s in before.sources]
    assert after.calibrations == before.calibrations
    # how one file is registered says nothing of others
    assert "Remembered" not in said and not remembered.file().exists()
    exchange_for_corrected(document, 0, replace(wanted, survey="Subaru", sky_shift="0.5, 0"))
    found = remembered.recall(signature(observation))
    assert found is not None and found.survey == "Subaru" and found.sky_shift == "0, 0"


def test_of_two_telescopes_sources_stay_where_the_sharper_one_has_them(
    settings: Path, make_observation: Callable[..., Any]
) -> None:
    """The sharp image is a piece in the middle of the wide one, which says how far the scene's grid goes."""
    wide = make_observation()
    sharp = make_observation(size=(48, 52), bands="z", name="HST")
    fine = ((-0.08, 0.025), (0.025, 0.08))
    sharp = replace(sharp, wcs=replace(sharp.wcs, matrix=fine, reference=(26.0, 24.0)))
    document = worked_on(wide, sharp)
    before = document.scene

    def in_sharp(scene: Any, index: int = 1) -> np.ndarray:
        to_sharp = scene.grid.affine_to(document.observations[index].grid)
        return np.array([to_sharp(s.y, s.x) for s in scene.sources])

    on_sharp, on_wide = in_sharp(before), in_sharp(before, 0)
    exchange_for_corrected(document, 1, replace(Interpretation.of(sharp), sky_shift="0.4, 0.4"))
    np.testing.assert_allclose(in_sharp(document.scene), on_sharp, atol=1e-3)
    assert np.abs(in_sharp(document.scene, 0) - on_wide).max() > 1
    document.undo()
    exchange_for_corrected(document, 0, replace(Interpretation.of(wide), sky_shift="0.4, 0.4"))
    np.testing.assert_allclose(in_sharp(document.scene), on_sharp, atol=1e-3)
    assert document.scene.grid.shape == before.grid.shape


def test_a_psf_that_asks_for_finer_pixels_loses_nothing(settings: Path, observation: Any) -> None:
    """A PSF of 1.2 px behind pixels: sources live on finer ones, and lie, and are as large, where they were."""
    document = worked_on(observation)
    before = document.scene
    exchange_for_corrected(document, 0, replace(Interpretation.of(observation), psf="gaussian:0.2"))
    after = document.scene
    finer = after.grid.shape[0] / before.grid.shape[0]
    assert finer > 1
    to_image = after.grid.affine_to(observation.grid)
    for old, new in zip(before.sources, after.sources, strict=True):
        np.testing.assert_allclose(to_image(new.y, new.x), (old.y, old.x), atol=1e-6)
        size = new.components[0].morphology.half_light_radius_guess
        assert size == pytest.approx(finer * old.components[0].morphology.half_light_radius_guess)
        assert (new.id, new.name, new.kind) == (old.id, old.name, old.kind)
    for k, calibration in enumerate(after.calibrations):
        np.testing.assert_allclose(calibration.shift.value, finer * before.calibrations[k].shift.value)
    document.undo()
    assert document.scene is before

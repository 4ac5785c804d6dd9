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

from deblend.io import signature
from napari_deblend import remembered
from napari_deblend.exchanging import as_remembered
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
    from deblend.io import Interpretation

    remembered.remember("x", replace(Interpretation.of(observation), psf=str(settings / "star.fits"), survey="S"))
    found = remembered.recall("x")
    assert found is not None and found.psf == "" and found.survey == "S"
    remembered.forget("x")
    assert remembered.recall("x") is None
    remembered.file().write_text("not ours")
    assert remembered.recall("x") is None

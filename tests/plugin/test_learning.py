"""Priors learned in the window: from the dialog to the draws, stopped and gone on with, and what cannot be learned."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import Method, make_source
from deblend.observe import gaussian_psf
from deblend.priors import read_model
from deblend.priors.model_file import packaged_path
from napari_deblend import field_galaxies, learning_settings
from napari_deblend.actions import perform
from napari_deblend.compat import main_window
from napari_deblend.field_galaxies import FieldGalaxies
from napari_deblend.learning import LearningPhase
from napari_deblend.learning_settings import LearningSettings, Origin
from napari_deblend.widgets.learning import NAME, LearningDialog

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LearningSettings:
    """A few steps of a small network, looked at behind every second one."""
    monkeypatch.setattr(learning_settings, "CHECK_EVERY", 2)
    file, stamps = tmp_path / "mine.safetensors", tmp_path / "stamps.npy"
    return LearningSettings(stamps=stamps, galaxies=64, side=16, steps=6, stamps_a_step=4, width=8, file=file)


@pytest.fixture
def dialog(opened: Any, small: LearningSettings, make_hands: Any) -> Any:
    """The dialog, opened by its key beside the dock."""
    opened.learner.settings = small
    opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    make_hands(opened).key(Qt.Key.Key_P, Qt.KeyboardModifier.AltModifier)
    return main_window(opened.viewer).findChild(LearningDialog, NAME)


@pytest.mark.slow
def test_a_prior_is_learned_stopped_gone_on_with_and_drawn_under(
    dialog: Any, opened: Any, small: LearningSettings, wait: Callable[..., None], qtbot: Any
) -> None:
    y, x = np.indices((40, 16, 16)).astype(float)[1:] - 8.0
    np.save(small.stamps, np.exp(-0.5 * (x**2 + y**2) / np.linspace(2.0, 6.0, 40)[:, None, None]))
    learner, before = opened.learner, opened.document.scene
    told: list[str] = []
    opened.told.connect(told.append)
    dialog.form["learn_from"].value, dialog.form["steps"].value = Origin.STAMPS, 100_000
    qtbot.mouseClick(dialog.learn, LEFT)
    assert learner.is_busy and not dialog.learn.isEnabled()
    wait(lambda: len(learner.learned.trial_steps) >= 2, timeout=600)
    assert "step" in dialog.sentence.text() and "held-out error" in dialog.sentence.text()
    steps, losses = dialog.curve.line.getOriginalDataset()
    assert list(steps[:2]) == [2, 4] and list(losses) == list(learner.learned.trial_losses)
    taken = learner.learned.done
    begin = time.monotonic()
    qtbot.mouseClick(dialog.stop, LEFT)
    assert "Stopping" in told[-1] and "Stopping" in dialog.sentence.text()
    wait(lambda: learner._learning.phase is not LearningPhase.LEARNING, timeout=5)
    assert time.monotonic() - begin < 5.0
    wait(lambda: not learner.is_busy and learner.is_offered, timeout=600)
    assert learner.learned.phase is LearningPhase.STOPPED and "can be gone on with" in told[-1]
    prior, card = read_model(small.file)
    assert (
        prior.shape == (16, 16)
        and card["steps_taken"] >= taken
        and card["data"] == "40 stamps of stamps.npy"
        and small.kept.exists()
    )
    assert dialog.drawn.isVisible() and learner.learned.pictures.shape[1:] == (16, 16)
    assert dialog.learn.text() == "Go on"
    # the same, one step further
    dialog.form["steps"].value = card["steps_taken"] + 1
    qtbot.mouseClick(dialog.learn, LEFT)
    wait(lambda: not learner.is_busy and learner.learned.phase is LearningPhase.DONE, timeout=600)
    assert read_model(small.file)[1]["steps_taken"] == card["steps_taken"] + 1 and not small.kept.exists()
    assert dialog.learn.text() == "Learn"
    qtbot.mouseClick(dialog.take, LEFT)
    fitting = next(iter(opened.viewer.window.dock_widgets.values())).fitting
    assert opened.sureness.prior == small.file and opened.sureness.method is Method.DIFFUSION
    assert fitting.prior.choice.currentText() == "mine"
    assert opened.document.scene is before, "learning changes no scene"


def test_the_form_asks_for_what_matters_and_a_word_says_what_is_wrong(
    dialog: Any, opened: Any, small: LearningSettings, wait: Callable[..., None], qtbot: Any
) -> None:
    assert dialog.form["galaxies"].visible and not dialog.form["stamps"].visible
    dialog.form["learn_from"].value = Origin.STAMPS
    assert not dialog.form["galaxies"].visible and dialog.form["stamps"].visible
    few = small.file.with_name("few.npy")
    np.save(few, np.ones((3, 16, 16)))
    small.file.with_name("there.safetensors").write_bytes(b"")
    for changes, expected in (
        ({"stamps": Path()}, "No file is named"),
        ({"stamps": few.with_name("none.fits")}, "none.fits: there is no such file"),
        ({"file": small.file.with_name("mine.npz")}, "must end in .safetensors"),
        ({"file": small.file.with_name("there.safetensors")}, "there is such a prior already"),
        ({"file": small.file.parent / "nowhere" / "mine.safetensors"}, "no such folder"),
        ({"learn_from": Origin.GENERATOR, "side": 18}, "must be a multiple of 4"),
    ):
        opened.learner.settings = replace(small, **{"learn_from": Origin.STAMPS, "stamps": few, **changes})
        qtbot.mouseClick(dialog.learn, LEFT)
        assert expected in dialog.sentence.text() and not opened.learner.is_busy
    opened.learner.settings = replace(small, learn_from=Origin.STAMPS, stamps=few)
    qtbot.mouseClick(dialog.learn, LEFT)
    wait(lambda: "3 stamps are too few" in dialog.sentence.text())
    assert not opened.learner.is_busy and not small.file.exists() and not dialog.take.isEnabled()
    assert dialog.settings.isExpanded() and not dialog.curve.isVisible(), "to say it otherwise"


def test_galaxies_that_are_being_made_are_stopped_at_once(
    opened: Any, small: LearningSettings, wait: Callable[..., None]
) -> None:
    opened.learner.settings = replace(small, galaxies=1_000_000)
    opened.learner.begin()
    wait(lambda: opened.learner.learned.done > 10)
    perform(opened, "stop_learning")
    wait(lambda: not opened.learner.is_busy, timeout=5)
    wait(lambda: "nothing is written" in opened.learner.learned.sentence, timeout=5)
    assert not list(small.file.parent.iterdir())
    told: list[str] = []
    opened.told.connect(told.append)
    perform(opened, "stop_learning")
    assert told == ["No prior is being learned."]


@pytest.mark.slow
def test_observed_galaxies_are_learned_from_by_laps(
    dialog: Any, opened: Any, small: LearningSettings, wait: Callable[..., None], qtbot: Any
) -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((40, 16, 16)).astype(float)[1:] - 8.0
    images = 50.0 * np.exp(-0.5 * (x**2 + y**2) / rng.uniform(2.0, 6.0, (40, 1, 1))) + rng.normal(size=(40, 16, 16))
    stamps, psf = (small.file.with_name(f"{name}.npy") for name in ("seen", "psf"))
    np.save(stamps, images)
    np.save(psf, gaussian_psf(2.6))
    dialog.form["learn_from"].value = Origin.OBSERVED
    assert all(dialog.form[name].visible for name in ("psf", "noise", "laps")) and not dialog.form["side"].visible
    given = replace(small, learn_from=Origin.OBSERVED, stamps=stamps, noise=1.0, laps=2, minutes=1e-6)
    opened.learner.settings = given
    qtbot.mouseClick(dialog.learn, LEFT)
    assert "No file is named; give the PSF" in dialog.sentence.text()
    opened.learner.settings = replace(given, psf=psf)
    qtbot.mouseClick(dialog.learn, LEFT)
    wait(lambda: opened.learner.learned.pictures is not None, timeout=500)
    assert dialog.drawn.isVisible() and not dialog.take.isEnabled(), "what was seen is drawn, and nothing is written"
    assert opened.learner.learned.lap == 1 and dialog.sentence.text().startswith("Lap 1: ")
    wait(lambda: not opened.learner.is_busy, timeout=500)
    assert "has had its time after step 1 of lap 2" in opened.learner.learned.sentence and dialog.take.isEnabled()
    card = read_model(small.file)[1]
    assert card["expectation_maximization"] == {"observed": "seen.npy", "psf": "psf.npy", "noise": 1.0, "laps": 2}
    assert not small.kept.exists()


def test_a_field_with_too_few_galaxies_is_not_learned_from(
    dialog: Any,
    opened: Any,
    small: LearningSettings,
    wait: Callable[..., None],
    qtbot: Any,
    settle: Callable[..., None],
) -> None:
    first, second, _ = opened.document.scene.sources
    opened.document.retype([first.id, second.id], "galaxy")
    settle(opened)
    opened.learner.settings = replace(small, learn_from=Origin.FIELD)
    before = opened.document.scene
    qtbot.mouseClick(dialog.learn, LEFT)
    wait(lambda: not opened.learner.is_busy)
    wait(lambda: "a prior needs 64 or more" in dialog.sentence.text(), timeout=5)
    assert "This field has" in dialog.sentence.text() and not small.file.exists()
    assert opened.document.scene is before


def test_galaxies_of_a_field_are_seen_with_its_psf(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field_galaxies, "LEAST_GALAXIES", 2)
    monkeypatch.setattr(sys.modules["deblend.measure.galaxy_stamps"], "MOST_BLENDED", 0.5)
    scene = opened.document.scene
    galaxies = [
        make_source("galaxy", s.x, s.y, n_channels=3, flux=s.flux, half_light_radius=1.5) for s in scene.sources
    ]
    field = FieldGalaxies(opened.document.observations, scene.with_sources(galaxies), 0, 1)
    observed = field.observed(16)
    assert observed.images.shape == (3, 16, 16) and observed.noise == 1.0
    # the light of a star behind the PSF is as bright as its image: its middle pixel is the brightest, nearly
    middles = observed.images[:, 7:10, 7:10].max(axis=(1, 2))
    np.testing.assert_array_equal(middles, observed.images.max(axis=(1, 2)))
    assert (
        observed.kernel.sum() == pytest.approx(1.0, abs=0.05)
        and np.argmax(observed.kernel) == observed.kernel.size // 2
    )


def test_a_file_that_is_no_denoiser_is_no_prior_of_draws(dialog: Any, opened: Any, tmp_path: Path) -> None:
    sureness = opened.sureness
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"no model")
    for path, expected in ((torn, r"torn.safetensors.*card"), (packaged_path("vae"), "is no denoiser")):
        with pytest.raises(ValueError, match=expected):
            sureness.take_prior(path)
        assert sureness.prior is None and not sureness.known_priors

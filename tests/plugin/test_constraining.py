"""Constraints in the window: switched, weighed and ordered by clicks and keys, seen at once, taken back, sent on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit, QSlider

from deblend import Constraint, ConstraintKind, make_source
from deblend.scene import ACTING_ORDER
from napari_deblend.actions import perform
from napari_deblend.presets import BUILT_IN, Preset, named_preset, own_presets, read_preset, write_preset
from napari_deblend.runner import Phase
from napari_deblend.widgets import presets as files
from napari_deblend.widgets.constraint_form import numbers
from napari_deblend.widgets.constraint_table import LABEL, ORDER, STRENGTH, about
from tests.plugin.conftest import STARS

K = ConstraintKind
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def galaxies(bench: Any, observation: Any, settle: Callable[[Any], None], tmp_path: Path, monkeypatch: Any) -> Any:
    """The workbench with two galaxies and a star, the first one selected, and the constraints in view."""
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path / "settings"))
    bench.open([observation])
    kinds = ("galaxy", "galaxy", "point")
    bench.document.add(*(make_source(k, x, y, n_channels=3) for k, (x, y, _) in zip(kinds, STARS, strict=True)))
    bench.document.select([bench.document.scene.sources[0].id])
    settle(bench)
    return bench


@pytest.fixture
def section(galaxies: Any, qtbot: Any) -> Any:
    _, widget = galaxies.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    perform(galaxies, "show_constraints")
    qtbot.waitUntil(widget.constraints.isVisible)
    qtbot.wait(50)
    return widget.constraints


def asked(bench: Any, kind: ConstraintKind, source: int = 0) -> Constraint | None:
    found: Constraint | None = bench.document.scene.sources[source].components[0].morphology.constraint(kind)
    return found


def acting(bench: Any) -> list[ConstraintKind]:
    constraints = bench.document.scene.sources[0].components[0].morphology.constraints
    return [c.kind for c in constraints if c.kind in ACTING_ORDER and c.active]


def click(section: Any, qtbot: Any, kind: ConstraintKind, column: int = LABEL, dx: int = 10) -> None:
    """Click a cell of the list, near its left end: on the box of a label."""
    index = section.model.index(section.model.row_of(kind), column)
    section.view.scrollTo(index)
    place = section.view.visualRect(index)
    qtbot.mouseClick(section.view.viewport(), LEFT, pos=QPoint(place.left() + dx, place.center().y()))


@pytest.mark.gui
def test_a_click_switches_and_undo_takes_back(section: Any, galaxies: Any, qtbot: Any, settle: Any) -> None:
    document, revision = galaxies.document, galaxies.document.revision
    click(section, qtbot, K.MONOTONIC)
    assert asked(galaxies, K.MONOTONIC) == Constraint(K.MONOTONIC) and asked(galaxies, K.MONOTONIC, 1) is None
    assert document.revision == revision + 1 and document.undo_label == "Ask 'Monotonic' of source 1"
    row = section.model.row_of(K.MONOTONIC)
    assert section.model.index(row, ORDER).data() == "1."
    settle(galaxies)
    document.undo()
    assert asked(galaxies, K.MONOTONIC) is None and section.model.index(row, ORDER).data() == ""
    document.redo()
    assert asked(galaxies, K.MONOTONIC) == Constraint(K.MONOTONIC)


@pytest.mark.gui
def test_keys_switch_and_order(section: Any, galaxies: Any, qtbot: Any) -> None:
    galaxies.viewer.window.activate()
    section.view.setFocus()
    qtbot.waitUntil(section.view.hasFocus)
    for kind in (K.SYMMETRIC, K.MONOTONIC):
        section.view.setCurrentIndex(section.model.index(section.model.row_of(kind), LABEL))
        qtbot.keyClick(section.view, Qt.Key.Key_Space)
    assert acting(galaxies) == [K.SYMMETRIC, K.MONOTONIC]
    qtbot.keyClick(section.view, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert acting(galaxies) == [K.MONOTONIC, K.SYMMETRIC]
    assert section.model.index(section.model.row_of(K.MONOTONIC), ORDER).data() == "1."
    assert section.view.currentIndex().row() == section.model.row_of(K.MONOTONIC)
    assert galaxies.document.undo_label == "Monotonic earlier for source 1"
    qtbot.mouseClick(section.later, LEFT)
    assert acting(galaxies) == [K.SYMMETRIC, K.MONOTONIC]
    said: list[str] = []
    galaxies.told.connect(said.append)
    qtbot.mouseClick(section.later, LEFT)
    assert said == ["'Monotonic' is the last to act already."]
    perform(galaxies, "switch_constraint")
    assert acting(galaxies) == [K.SYMMETRIC]


@pytest.mark.gui
def test_a_strength_is_typed_or_dragged_as_one_step(section: Any, galaxies: Any, qtbot: Any) -> None:
    document = galaxies.document
    index = section.model.index(section.model.row_of(K.SYMMETRIC), STRENGTH)
    section.view.scrollTo(index)
    place = section.view.visualRect(index).center()
    qtbot.mouseClick(section.view.viewport(), LEFT, pos=place)
    qtbot.mouseDClick(section.view.viewport(), LEFT, pos=place)
    qtbot.waitUntil(lambda: section.view.findChild(QLineEdit) is not None)
    editor = section.view.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "0.25")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    # Qt takes it by and by
    qtbot.waitUntil(lambda: asked(galaxies, K.SYMMETRIC) is not None)
    assert asked(galaxies, K.SYMMETRIC) == Constraint(K.SYMMETRIC, 0.25)
    steps = len(document._undo)
    slider = section.form["strength"].native.findChild(QSlider)
    slider.sliderPressed.emit()
    for value in (0.4, 0.6, 0.8):
        section.form["strength"].value = value
        assert asked(galaxies, K.SYMMETRIC).strength == pytest.approx(value)
    slider.sliderReleased.emit()
    assert len(document._undo) == steps + 1
    document.undo()
    assert asked(galaxies, K.SYMMETRIC).strength == 0.25 and section.form["strength"].value == 0.25


@pytest.mark.gui
def test_what_cannot_be_is_one_sentence(section: Any, galaxies: Any) -> None:
    said: list[str] = []
    galaxies.told.connect(said.append)
    before = galaxies.document.scene
    index = section.model.index(section.model.row_of(K.SYMMETRIC), STRENGTH)
    for typed in ("2", "much"):
        assert not section.model.setData(index, typed)
    click_kind = section.model.row_of(K.BAND_RATIOS)
    section.view.setCurrentIndex(section.model.index(click_kind, LABEL))
    perform(galaxies, "switch_constraint")
    on = galaxies.document.scene
    section.form["ratios"].value = "1, 2"
    assert galaxies.document.scene is on and on is not before
    assert "share from 0 to 1" in said[0] and "must be a number" in said[1] and "each of 3 channels, got 2" in said[2]
    section.form["ratios"].value = "1, 2, 4"
    assert asked(galaxies, K.BAND_RATIOS).setting("ratios") == (1.0, 2.0, 4.0)
    perform(galaxies, "constraint_earlier")
    assert "no place in an order" in said[-1]
    galaxies.document.set_status(galaxies.document.selection, galaxies.document.selected[0].center.status.LOCKED)
    perform(galaxies, "switch_constraint")
    assert "locked; unlock first" in said[-1]


@pytest.mark.gui
def test_what_a_constraint_does_is_seen_without_a_fit(
    section: Any, galaxies: Any, qtbot: Any, wait: Callable[..., None]
) -> None:
    constraining = galaxies.constraining
    wait(lambda: constraining.thumbnails is not None)
    first = constraining.thumbnails
    assert np.array_equal(first.before, first.after) and "nothing would change" in section.sentence.text()
    # what is seen of it, and no more of the dark around it
    side = 2 * galaxies.document.selected[0].components[0].radius + 1
    assert first.before.shape == (len(first.before), len(first.before), 3) and first.before.max() > 200
    assert 5 < len(first.before) < side and len(first.before) % 2
    section.view.setCurrentIndex(section.model.index(section.model.row_of(K.L1), LABEL))
    constraining.strengthen(K.L1, 3.0)
    wait(lambda: "taken" in section.sentence.text())
    second = constraining.thumbnails
    assert not np.array_equal(second.before, second.after)
    assert not section.pictures["after"].pixmap().isNull()
    # another source has another picture
    galaxies.document.select([galaxies.document.scene.sources[2].id])
    wait(lambda: constraining.thumbnails is not None and constraining.thumbnails is not second)
    assert [line.kind for line in constraining.lines] == [K.COLOR_BOUNDS, K.BAND_RATIOS]


@pytest.mark.gui
def test_every_offered_constraint_has_a_sentence_and_goes_to_all_that_take_it(section: Any, galaxies: Any) -> None:
    document = galaxies.document
    document.select([source.id for source in document.scene.sources][::-1])
    kinds = [line.kind for line in galaxies.constraining.lines]
    assert len(kinds) == section.model.rowCount() > 12
    assert all(line.kind.info.help in about(line) for line in galaxies.constraining.lines)
    galaxies.constraining.switch(K.MONOTONIC, True)
    assert [asked(galaxies, K.MONOTONIC, k) is not None for k in range(3)] == [True, True, False]
    assert document.undo_label == "Ask 'Monotonic' of 3 sources"


@pytest.mark.gui
def test_presets_are_applied_saved_and_sent_on(
    section: Any, galaxies: Any, tmp_path: Path, qtbot: Any, settle: Any
) -> None:
    document = galaxies.document
    menu = section.preset.menu()
    section.preset.fill()
    assert [a.text() for a in menu.actions()][:5] == [p.name for p in BUILT_IN]
    next(a for a in menu.actions() if a.text() == "isolated galaxy").trigger()
    assert document.scene.sources[0].components[0].morphology.constraints == named_preset("isolated galaxy").constraints
    settle(galaxies)
    for name, kind in (("preset_star", "point"), ("preset_lsb", "galaxy"), ("preset_spiral", "galaxy")):
        perform(galaxies, name)
        assert document.scene.sources[0].kind == kind
    galaxies.constraining.strengthen(K.SYMMETRIC, 0.9)
    own = document.scene.sources[0].components[0].morphology.constraints
    files.save(galaxies, tmp_path / "edge-on.json")
    section.preset.fill()
    assert "edge-on" in [a.text() for a in menu.actions()]
    perform(galaxies, "preset_star")
    document.select([document.scene.sources[1].id])
    files.load(galaxies, tmp_path / "edge-on.json")
    assert document.scene.sources[1].components[0].morphology.constraints == own
    assert document.undo_label == "Make source 2 a preset “edge-on”"
    with pytest.raises(ValueError, match="preset of the program"):
        files.save(galaxies, tmp_path / "spiral.json")


@pytest.mark.gui
def test_constraints_change_during_a_fit(section: Any, galaxies: Any, qtbot: Any, wait: Callable[..., None]) -> None:
    from deblend import FitSettings

    galaxies.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    perform(galaxies, "fit_or_pause")
    wait(lambda: galaxies.phase is Phase.RUNNING and galaxies.frame.iteration > 1)
    click(section, qtbot, K.SYMMETRIC_MINIMUM)
    wait(lambda: galaxies.frame.revision == galaxies.document.revision)
    assert asked(galaxies, K.SYMMETRIC_MINIMUM).active
    wait(lambda: galaxies.frame.scene.sources[0].components[0].morphology.constraint(K.SYMMETRIC_MINIMUM) is not None)
    perform(galaxies, "cancel_fit")
    wait(lambda: galaxies.phase is Phase.IDLE)
    assert asked(galaxies, K.SYMMETRIC_MINIMUM).active


def test_a_preset_survives_its_file(tmp_path: Path) -> None:
    settings = (("weights", "nearest"),)
    bounds = Constraint(K.COLOR_BOUNDS, settings=(("lower", (0.1, 0.2)), ("reference", 1.0)))
    given = Preset("arms", "free-form", (Constraint(K.MONOTONIC, 0.3, False, settings), bounds))
    write_preset(tmp_path / "arms.json", given)
    assert read_preset(tmp_path / "arms.json") == given


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("no json", "it is no JSON"),
        ("[]", "it is no preset"),
        ('{"preset": 9, "constraints": []}', "of version 9"),
        ('{"preset": 1, "kind": "blob", "constraints": []}', "no kind of source 'blob'"),
        ('{"preset": 1, "constraints": [{"kind": "round"}]}', "no constraint 'round'"),
        ('{"preset": 1, "constraints": [{"kind": "l1", "strength": "x"}]}', "strength of l1 is a number"),
        ('{"preset": 1, "constraints": [{"kind": "symmetric", "strength": 3}]}', "share from 0 to 1, got 3"),
        ('{"preset": 1, "constraints": [{"kind": "monotonic", "settings": {"weights": "up"}}]}', "is one of nearest"),
    ],
)
def test_files_that_are_no_presets_are_named(tmp_path: Path, said: str, sentence: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(said)
    with pytest.raises(ValueError, match=f"mine.json: .*{sentence}"):
        read_preset(path)


def test_a_folder_of_presets_with_a_broken_one(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path))
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "broken.json").write_text("{")
    (tmp_path / "presets" / "mine.json").write_text(json.dumps({"preset": 1, "constraints": [{"kind": "connected"}]}))
    (mine,) = own_presets()
    assert mine == Preset("mine", "galaxy", (Constraint(K.CONNECTED),))


def test_numbers_may_be_left_out() -> None:
    assert numbers("1, 2.5 -") == (1.0, 2.5, np.inf)
    assert numbers("- 3", 0.0) == (0.0, 3.0) and numbers("") == ()
    with pytest.raises(ValueError, match="Numbers with commas"):
        numbers("a few")

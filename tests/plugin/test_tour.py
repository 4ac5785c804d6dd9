"""The guided tour: goes on by itself when a person does what it says, by mouse and keys, and is never in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from deblend import Observation
from napari_deblend import tour as tour_module
from napari_deblend.actions import ACTIONS, perform
from napari_deblend.compat import canvas_of
from napari_deblend.tour_steps import CANVAS, CONSTRAINTS, PLOTS, STEPS, Moment, Need
from napari_deblend.views import View
from napari_deblend.widgets.halo import Halo
from napari_deblend.widgets.tour import TourBar

pytestmark = pytest.mark.gui
LEFT, CONTROL, SHIFT, ALT = (
    Qt.MouseButton.LeftButton,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)


@pytest.fixture(autouse=True)
def _brief_praise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tour_module, "PRAISE", 30)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for settings of a person who has never been here."""
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path))
    return tmp_path


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> Iterator[Any]:
    """The dock in a window with nothing loaded."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    qtbot.wait(30)
    yield widget
    widget.bench.close()


@pytest.fixture
def strolling(dock: Any, qtbot: Any) -> Any:
    """The dock with nothing loaded, and the tour begun by its key: enough for all but what needs a model."""
    press(qtbot, canvas_of(dock.bench.viewer).native, Qt.Key.Key_F1, SHIFT)
    return dock


@pytest.fixture
def touring(opened: Any, qtbot: Any) -> Any:
    """The dock with the small blend open, and the tour begun by its key."""
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    widget.resize(440, 800)
    qtbot.wait(30)
    press(qtbot, canvas_of(opened.viewer).native, Qt.Key.Key_F1, SHIFT)
    return widget


def press(qtbot: Any, widget: Any, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    widget.setFocus()
    qtbot.keyClick(widget, key, modifier)


def click(qtbot: Any, button: Any) -> None:
    assert button.isVisible()
    qtbot.mouseClick(button, LEFT)


def go_to(bench: Any, name: str) -> None:
    """Skip to a step."""
    while bench.tour.step.name != name:
        bench.tour.skip()


# the offer -------------------------------------------------------------------------------------------------------


def test_it_is_offered_once_and_the_answer_is_remembered(dock: Any, qtbot: Any, make_napari_viewer: Any) -> None:
    assert dock.tour.isVisible() and dock.tour.offer.isVisible() and not dock.tour.steps.isVisible()
    click(qtbot, dock.tour.not_now)
    assert not dock.tour.isVisible() and dock.bench.tour.step is None
    again = TourBar(dock.bench, dock, may_offer=True)
    qtbot.wait(30)
    assert not again.offer.isVisibleTo(again)


def test_taking_it_is_an_answer_too(dock: Any, qtbot: Any, settings: Path) -> None:
    click(qtbot, dock.tour.take)
    assert dock.bench.tour.step.name == "open" and dock.tour.steps.isVisible() and not dock.tour.offer.isVisible()
    assert (settings / "tour.json").is_file()


def test_whoever_opens_images_is_not_asked_any_more(dock: Any, qtbot: Any, observation: Observation) -> None:
    dock.bench.open([observation])
    qtbot.wait(30)
    assert not dock.tour.isVisible()
    again = TourBar(dock.bench, dock, may_offer=True)
    qtbot.wait(30)
    assert not again.offer.isVisibleTo(again)


def test_do_it_opens_the_sample_and_the_tour_goes_on(dock: Any, qtbot: Any, wait: Callable[..., None]) -> None:
    click(qtbot, dock.tour.take)
    click(qtbot, dock.tour.do_it)
    wait(lambda: dock.bench.tour.number == 2)
    assert [channel.band for channel in dock.bench.document.scene.channels] == list("grizy")
    # it takes up where there are images
    press(qtbot, canvas_of(dock.bench.viewer).native, Qt.Key.Key_Escape)
    press(qtbot, canvas_of(dock.bench.viewer).native, Qt.Key.Key_F1, SHIFT)
    assert dock.bench.tour.step.name == "look"


# by doing --------------------------------------------------------------------------------------------------------


def test_keys_and_mouse_take_it_from_looking_to_undo(touring: Any, hands: Any, qtbot: Any, wait: Any) -> None:
    bench = touring.bench
    tour, step = bench.tour, lambda: bench.tour.step.name
    assert step() == "look"
    hands.key(Qt.Key.Key_M, SHIFT)
    assert tour.is_done and "✓" in touring.tour.sentence.text()
    wait(lambda: step() == "stretch")
    hands.key(Qt.Key.Key_BracketRight, CONTROL)
    wait(lambda: step() == "find")
    tour.skip()
    hands.click(10.0, 50.0, SHIFT)
    assert len(bench.document.scene) == 4
    wait(lambda: step() == "drag")
    source = bench.document.scene.sources[0]
    hands.press(source.x, source.y)
    for shift in (2.0, 4.0):
        hands.move(source.x + shift, source.y)
    assert bench.document.in_gesture
    bench.tell("Meanwhile.")
    assert not tour.is_done, "it is done when the marker is let go"
    hands.release(source.x + 4.0, source.y)
    wait(lambda: step() == "undo")
    hands.key(Qt.Key.Key_Z, CONTROL)
    wait(lambda: step() == "fit")


def test_a_fit_is_done_when_it_ends_and_unfolding_is_noted(touring: Any, hands: Any, qtbot: Any, wait: Any) -> None:
    bench = touring.bench
    hands.key(Qt.Key.Key_R, SHIFT)
    wait(lambda: bench.tour.step.name == "stretch")
    go_to(bench, "residual")
    bench.tell("Something else.")
    assert not bench.tour.is_done and touring.tour.skip.text() == "Next", "what holds already is not taken for done"
    bench.tour.back()
    assert bench.tour.step.name == "fit"
    hands.key(Qt.Key.Key_D, SHIFT)
    bench.settings = replace(bench.settings, max_iterations=2)
    hands.key(Qt.Key.Key_G)
    wait(lambda: bench.tour.step.name == "residual")
    hands.key(Qt.Key.Key_R, SHIFT)
    wait(lambda: bench.tour.step.name == "worst")
    go_to(bench, "constraints")
    bench.document.select([bench.document.scene.sources[0].id])
    hands.key(Qt.Key.Key_K, SHIFT)
    wait(lambda: bench.tour.step.name == "errors")
    heading = touring.findChild(QWidget, "plots_heading")
    heading.click()
    wait(lambda: bench.tour.step.name == "save")


# skipping, ending, wandering off ---------------------------------------------------------------------------------


def test_buttons_and_keys_skip_and_go_back_and_escape_ends(strolling: Any, qtbot: Any) -> None:
    bar, tour = strolling.tour, strolling.bench.tour
    image = canvas_of(strolling.bench.viewer).native
    click(qtbot, bar.skip)
    assert tour.number == 2
    click(qtbot, bar.back)
    assert tour.number == 1 and not bar.back.isEnabled()
    press(qtbot, image, Qt.Key.Key_Period, ALT)
    assert tour.number == 2 and "needs images" in bar.sentence.text()
    press(qtbot, image, Qt.Key.Key_Comma, ALT)
    assert tour.number == 1
    press(qtbot, image, Qt.Key.Key_Escape)
    assert tour.step is None and not bar.isVisible()
    # without a tour the keys say so, and Escape is napari's again
    press(qtbot, image, Qt.Key.Key_Period, ALT)
    assert "Shift-F1" in strolling.sentence.text()
    assert not any("Escape" in str(key) for key in strolling.bench.viewer.keymap)


def test_escape_ends_it_from_the_dock_and_the_button_too(strolling: Any, qtbot: Any) -> None:
    strolling.bench.viewer.window.activate()
    strolling.sources.view.setFocus()
    qtbot.waitUntil(strolling.sources.view.hasFocus)
    qtbot.keyClick(strolling.sources.view, Qt.Key.Key_Escape)
    assert strolling.bench.tour.step is None
    click(qtbot, strolling.findChild(QWidget, "tour_button"))
    assert strolling.bench.tour.number == 1
    click(qtbot, strolling.tour.end)
    assert strolling.bench.tour.step is None


def test_the_last_step_has_no_next_and_skipping_it_ends(strolling: Any) -> None:
    go_to(strolling.bench, "end")
    assert not strolling.tour.skip.isVisible()
    perform(strolling.bench, "tour_skip")
    assert strolling.bench.tour.step is None


def test_whoever_wanders_off_is_told_what_is_missing(
    touring: Any, observation: Observation, wait: Callable[..., None]
) -> None:
    from deblend import make_source

    bench = touring.bench
    go_to(bench, "drag")
    bench.document.delete([source.id for source in bench.document.scene.sources])
    assert bench.tour.missing is Need.SOURCES
    assert "needs sources" in touring.tour.sentence.text() and "Shift+F" in touring.tour.sentence.text()
    bench.document.undo()
    assert bench.tour.missing is Need.NOTHING and "Drag its marker" in touring.tour.sentence.text()
    assert bench.tour.step.name == "drag" and not bench.tour.is_done
    # other images do not count as a source that was added
    bench.tour.back()
    bench.open([observation])
    bench.tell("Opened.")
    assert bench.tour.step.name == "add" and not bench.tour.is_done
    bench.document.add(make_source("point", 20.0, 24.0, n_channels=3))
    wait(lambda: bench.tour.step.name == "drag")


# the frame -------------------------------------------------------------------------------------------------------


def halos(bench: Any) -> list[Halo]:
    from napari_deblend.compat import main_window

    return [halo for halo in main_window(bench.viewer).findChildren(Halo) if not halo.isHidden()]


def is_in_view(halo: Halo, is_on_canvas: bool) -> bool:
    is_seen = halo.isVisible() and (is_on_canvas or not halo.visibleRegion().isEmpty())
    return is_seen and halo.rect() == halo.target.rect()


def test_every_step_has_something_to_point_at(strolling: Any, wait: Any) -> None:
    bench = strolling.bench
    for step in STEPS:
        assert bench.tour.step is step
        (halo,) = halos(bench)
        is_on_canvas = halo.target is canvas_of(bench.viewer).native
        assert is_on_canvas if step.target == CANVAS else halo.target.objectName() == step.target
        wait(partial(is_in_view, halo, is_on_canvas))
        bench.tour.skip()
    assert bench.tour.step is None and not halos(bench)


def test_the_frame_takes_no_clicks_and_follows_its_target(strolling: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QApplication

    go_to(strolling.bench, "find")
    (halo,) = halos(strolling.bench)
    button = halo.target
    pressed: list[bool] = []
    button.clicked.connect(pressed.append)
    edge = button.mapTo(button.window(), QPoint(1, 1))
    under = QApplication.widgetAt(button.window().mapToGlobal(edge))
    assert under is button
    click(qtbot, button)
    assert len(pressed) == 1
    button.setFixedSize(button.width() + 30, button.height() + 4)
    qtbot.wait(30)
    assert halo.rect() == button.rect()


def test_a_dock_that_is_closed_takes_its_frame_along(strolling: Any, qtbot: Any) -> None:
    bench = strolling.bench
    go_to(bench, "add")
    assert halos(bench)
    bench.viewer.window.remove_dock_widget(strolling)
    strolling.deleteLater()
    qtbot.wait(60)
    assert not halos(bench)
    assert bench.tour.step.name == "add"
    perform(bench, "take_tour")
    assert bench.tour.step.name == "open" and len(halos(bench)) == 1


# the steps -------------------------------------------------------------------------------------------------------


def test_every_sentence_names_keys_that_there_are() -> None:
    for step in STEPS:
        said = step.sentence.format_map({name: action.key for name, action in ACTIONS.items() if action.key})
        assert len(said) < 130 and "{" not in said, step.name
        assert not step.action or step.action in ACTIONS
    assert len({step.name for step in STEPS}) == len(STEPS)


def test_steps_tell_doing_from_not_doing() -> None:
    from napari_deblend.document import Step as Edit

    edit = Edit("Move source 1", None, (), ())  # type: ignore[arg-type]
    now = Moment(is_open=True, source_ids=("a", "b"))
    done_by = {
        "open": now,
        "look": replace(now, view=View.MODEL),
        "find": replace(now, source_ids=("c",)),
        "add": replace(now, source_ids=("a", "b", "c")),
        "drag": replace(now, last_edit=edit),
        "undo": replace(now, can_redo=True),
        "fit": replace(now, n_runs=1),
        "residual": replace(now, view=View.RESIDUAL),
        "worst": replace(now, leftover=0),
        "missed": replace(now, source_ids=("a", "b", "c")),
        "constraints": replace(now, noted={CONSTRAINTS: 1}),
        "errors": replace(now, noted={PLOTS: 1}),
        "save": replace(now, is_saved=True),
    }
    for step in STEPS:
        before = Moment() if step.name == "open" else now
        assert not step.done(before, before), step.name
        assert step.name in ("stretch", "end") or step.done(before, done_by[step.name]), step.name
    fit = next(step for step in STEPS if step.name == "fit")
    assert not fit.done(now, replace(now, n_runs=1, is_fitting=True))

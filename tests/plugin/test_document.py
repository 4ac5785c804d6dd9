"""The document alone: edits, gestures, undo; no window and no engine thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from deblend import Observation, Scene, Status, make_source
from napari_deblend.document import Change, Document, with_fluxes_of

MakeObservation = Callable[..., Observation]


@pytest.fixture
def document(make_observation: MakeObservation) -> Document:
    document = Document()
    document.open([make_observation()])
    document.add(*(make_source("galaxy", x, y, n_channels=3, flux=[1, 2, 3]) for x, y in ((10, 12), (30, 31))))
    return document


def ids(scene: Scene) -> list[str]:
    return [source.id for source in scene.sources]


def test_nothing_is_open_at_first() -> None:
    document = Document()
    assert not document.is_open
    with pytest.raises(ValueError, match="open FITS files first"):
        document.scene  # noqa: B018


def test_the_scene_begins_empty_with_the_channels_of_all_observations(make_observation: MakeObservation) -> None:
    document = Document()
    document.open([make_observation(bands="gri"), make_observation(bands="z", name="HST")])
    assert len(document.scene) == 0
    assert [c.band for c in document.scene.channels] == ["g", "r", "i", "z"]


def test_every_edit_can_be_taken_back_and_done_again(document: Document) -> None:
    first, second = ids(document.scene)
    scenes = [document.scene]
    document.move({first: (11.0, 12.5)})
    scenes.append(document.scene)
    document.retype([first, second], "point")
    scenes.append(document.scene)
    document.rename(second, "companion")
    scenes.append(document.scene)
    document.set_status([second], Status.FIXED)
    scenes.append(document.scene)
    document.resize([first], 9)
    scenes.append(document.scene)
    document.delete([first])
    scenes.append(document.scene)
    for scene in reversed(scenes[:-1]):
        document.undo()
        assert document.scene is scene
    for scene in scenes[1:]:
        document.redo()
        assert document.scene is scene
    assert document.redo_label is None


def test_undo_reaches_back_to_the_opening_however_many_steps_there_are(document: Document) -> None:
    source_id = ids(document.scene)[0]
    for step in range(500):
        document.move({source_id: (10.0 + 0.01 * step, 12.0)})
    for _ in range(501):
        document.undo()
    assert document.undo_label is None
    assert len(document.scene) == 0


def test_a_gesture_is_one_step(document: Document) -> None:
    source_id = ids(document.scene)[0]
    before = document.scene
    changes: list[Change] = []
    document.scene_changed.connect(changes.append)
    with document.gesture("Drag"):
        for x in range(20):
            document.move({source_id: (float(x), 12.0)})
    assert changes == [Change.LIVE] * 20 + [Change.EDIT]
    assert document.undo_label == "Drag"
    document.undo()
    assert document.scene is before


def test_a_gesture_that_fails_never_happened(document: Document) -> None:
    first, second = ids(document.scene)
    document.set_status([second], Status.LOCKED)
    before, label = document.scene, document.undo_label
    with pytest.raises(ValueError, match="locked"), document.gesture("Drag both"):
        document.move({first: (1.0, 1.0)})
        document.move({second: (2.0, 2.0)})
    assert document.scene is before
    assert document.undo_label == label


def test_a_gesture_that_changes_nothing_is_no_step(document: Document) -> None:
    label = document.undo_label
    document.begin("Drag")
    document.accept(document.scene.with_sources(document.scene.sources), document.revision)
    document.commit()
    assert document.undo_label == label


def test_locked_sources_stay_as_they_are(document: Document) -> None:
    source_id = ids(document.scene)[0]
    document.set_status([source_id], Status.LOCKED)
    for edit in (
        lambda: document.move({source_id: (1.0, 1.0)}),
        lambda: document.delete([source_id]),
        lambda: document.retype([source_id], "point"),
        lambda: document.resize([source_id], 5),
    ):
        scene = document.scene
        with pytest.raises(ValueError, match="locked"):
            edit()
        assert document.scene is scene
    document.set_status([source_id], Status.FREE)
    document.move({source_id: (1.0, 1.0)})
    assert document.scene[source_id].x == 1.0


def test_names_are_unique(document: Document) -> None:
    first, second = ids(document.scene)
    with pytest.raises(ValueError, match="already a source named '2'"):
        document.rename(first, "2")
    with pytest.raises(ValueError, match="at least one"):
        document.rename(second, "  ")


def test_the_selection_forgets_what_is_gone_and_comes_back_with_undo(document: Document) -> None:
    first, second = ids(document.scene)
    document.select([second, first, "nobody"])
    assert document.selection == (second, first)
    document.delete([second])
    assert document.selection == (first,)
    document.undo()
    assert document.selection == (second, first)


def test_an_answer_to_the_present_scene_replaces_it_without_a_step(document: Document) -> None:
    label, revision = document.undo_label, document.revision
    answer = document.scene.with_sources(document.scene.sources)
    document.accept(answer, revision)
    assert document.scene is answer
    assert (document.undo_label, document.revision) == (label, revision)


def test_a_late_answer_moves_nothing_back_but_shows_its_fluxes(document: Document) -> None:
    first, second = ids(document.scene)
    late = Scene(document.scene.grid, document.scene.channels).add(
        make_source("galaxy", 99.0, 99.0, n_channels=3, flux=[7, 8, 9], id=first)
    )
    revision = document.revision
    document.move({first: (15.0, 16.0)})
    document.accept(late, revision)
    assert (document.scene[first].x, document.scene[first].y) == (15.0, 16.0)
    np.testing.assert_array_equal(document.scene[first].flux, [7, 8, 9])
    np.testing.assert_array_equal(document.scene[second].flux, [1, 2, 3])


def test_fluxes_are_not_taken_from_a_source_of_another_make(document: Document) -> None:
    source = document.scene.sources[0]
    double = replace(source, components=source.components * 2)
    assert with_fluxes_of(document.scene, document.scene.with_sources([double])).sources[0] is source


def test_opening_other_data_starts_a_new_history(document: Document, make_observation: MakeObservation) -> None:
    document.open([make_observation(seed=4)])
    assert len(document.scene) == 0
    assert document.undo_label is None
    assert document.selection == ()

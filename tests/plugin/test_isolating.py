"""Isolated sources: right, in color and bands, per telescope, by key and button, live during a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import FitSettings, Observation, Program, make_source
from deblend.measure import share
from napari_deblend.actions import perform
from napari_deblend.isolating import Isolation
from napari_deblend.machine import Frame, PictureKind
from napari_deblend.views import Role, View

pytestmark = pytest.mark.gui


@pytest.fixture
def chosen(opened: Any) -> Any:
    """The workbench with its middle star selected, which its neighbours overlap."""
    opened.document.select([opened.document.scene.sources[1].id])
    return opened


def pixels(bench: Any, role: Role = Role.ISOLATED, k: int = 0) -> np.ndarray:
    layer = bench.layers.layer(role, k)
    return np.zeros(0) if layer is None else np.asarray(layer.data)


def expected(bench: Any, manner: Isolation, rows: tuple[int, ...] = (1,), k: int = 0) -> np.ndarray:
    """Return what is to be seen, from a program of its own."""
    scene, observations = bench.document.scene, bench.document.observations
    program = Program(observations, scene, solve=False)
    own = sum(program.component(row, k) for row in rows)
    if manner is Isolation.MODEL:
        return own
    if manner is Isolation.SHARE:
        shares = share(scene, observations)
        return sum(shares.picture(row, k) for row in rows)
    return observations[k].images - (program.model(k) - own)


def shows(bench: Any, manner: Isolation, rows: tuple[int, ...] = (1,), k: int = 0) -> bool:
    seen = pixels(bench, Role.ISOLATED, k)
    wanted = expected(bench, manner, rows, k)
    return seen.shape == wanted.shape and np.allclose(seen, wanted, atol=2e-3)


def test_a_key_goes_around_model_data_and_share(chosen: Any, make_hands: Any, wait: Callable[..., None]) -> None:
    hands = make_hands(chosen)
    chosen.layers.look_at(View.DATA, color=False)
    for manner in (Isolation.DATA, Isolation.SHARE, Isolation.MODEL, Isolation.DATA):
        hands.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ShiftModifier)
        assert chosen.layers.view is View.ISOLATED and chosen.layers.isolated.manner is manner
        wait(lambda m=manner: shows(chosen, m))
        assert manner.value in chosen.viewer.canvas.overlays.text.text
    assert chosen.layers.layer(Role.ISOLATED).visible


def test_shares_add_up_to_the_data_and_others_are_gone(chosen: Any, wait: Callable[..., None]) -> None:
    scene, image = chosen.document.scene, chosen.document.observations[0].images
    chosen.layers.look_at(View.DATA, color=False)
    perform(chosen, "isolate_data")
    wait(lambda: shows(chosen, Isolation.DATA))
    third = scene.sources[2]
    row, column = round(third.y), round(third.x)
    assert np.all(np.abs(pixels(chosen)[:, row, column]) < 0.5 * image[:, row, column])
    chosen.document.select([source.id for source in scene.sources])
    perform(chosen, "isolate_share")
    wait(lambda: shows(chosen, Isolation.SHARE, (0, 1, 2)))
    near = pixels(chosen) != 0
    assert near.mean() > 0.05
    np.testing.assert_allclose(pixels(chosen)[near], image[near], rtol=1e-4)


def test_it_is_in_the_colors_of_the_data_and_follows_the_stretch(chosen: Any, wait: Callable[..., None]) -> None:
    perform(chosen, "isolate_data")
    assert chosen.layers.role is Role.ISOLATED_COLOR

    def is_right() -> bool:
        seen = pixels(chosen, Role.ISOLATED_COLOR)
        wanted = chosen.layers.mixes[0](expected(chosen, Isolation.DATA))
        return seen.any() and int(np.abs(seen.astype(int) - wanted).max()) <= 1

    wait(is_right)
    before = pixels(chosen, Role.ISOLATED_COLOR).copy()
    perform(chosen, "brighter")
    wait(lambda: np.any(pixels(chosen, Role.ISOLATED_COLOR) != before) and is_right())
    perform(chosen, "toggle_color")
    data, alone = chosen.layers.layer(Role.DATA), chosen.layers.layer(Role.ISOLATED)
    assert alone.contrast_limits == data.contrast_limits
    np.testing.assert_allclose(alone.colormap.colors, data.colormap.colors)


def test_it_follows_selection_edits_and_undo(chosen: Any, wait: Callable[..., None], settle: Any) -> None:
    chosen.layers.look_at(View.DATA, color=False)
    perform(chosen, "isolate_data")
    first, second, third = chosen.document.scene.sources
    chosen.document.select([first.id, third.id])
    wait(lambda: shows(chosen, Isolation.DATA, (0, 2)))
    chosen.document.move({second.id: (second.x + 1.0, second.y)})
    settle(chosen)
    wait(lambda: shows(chosen, Isolation.DATA, (0, 2)))
    chosen.document.delete([second.id])
    settle(chosen)
    wait(lambda: shows(chosen, Isolation.DATA, (0, 1)))
    chosen.document.undo()
    settle(chosen)
    wait(lambda: shows(chosen, Isolation.DATA, (0, 2)))
    chosen.document.select(())
    assert chosen.layers.isolated.source_ids == (first.id, third.id), "the last ones stay"


@pytest.mark.parametrize("manner", [Isolation.DATA, Isolation.SHARE])
def test_it_is_live_during_a_fit_but_no_more_than_some_times_a_second(
    chosen: Any, wait: Callable[..., None], manner: Isolation
) -> None:
    chosen.layers.look_at(View.DATA, color=False)
    perform(chosen, f"isolate_{manner.name.lower()}")
    wait(lambda: shows(chosen, manner))
    frames: list[Frame] = []
    chosen.framed.connect(frames.append)
    chosen.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    source = chosen.document.scene.sources[1]
    chosen.document.move({source.id: (source.x + 0.7, source.y)})
    perform(chosen, "fit_or_pause")

    def drawn() -> list[int]:
        return [id(a) for f in frames for p, a in f.pictures.items() if p.kind is PictureKind.ISOLATED]

    wait(lambda: len(set(drawn())) >= 3 or (frames and frames[-1].sentence))
    if chosen.runner.is_running:
        perform(chosen, "fit_or_pause")
        wait(lambda: chosen.phase.name in ("PAUSED", "IDLE"))
        wait(lambda: shows(chosen, manner))
        perform(chosen, "cancel_fit")
    wait(lambda: chosen.frame.sentence)
    wait(lambda: shows(chosen, manner))
    assert np.any(chosen.document.scene.sources[1].x != source.x + 0.7)


def test_masked_pixels_are_not_made_up(
    bench: Any, make_observation: Any, settle: Any, wait: Callable[..., None]
) -> None:
    whole = make_observation()
    weights = whole.weights.copy()
    weights[:, 30:33, 30:33] = 0.0
    bench.open([Observation.from_arrays(whole.images, whole.psf, weights, channels=list("gri"), name="HSC")])
    bench.document.add(make_source("point", 34.0, 30.0, n_channels=3))
    bench.document.select([bench.document.scene.sources[0].id])
    settle(bench)
    perform(bench, "isolate_share")
    wait(lambda: pixels(bench, Role.ISOLATED_COLOR).any())
    seen = pixels(bench, Role.ISOLATED_COLOR)
    assert seen[30, 34].max() > 200 and np.all(seen[31, 31] == seen[0, 0]), "no light, as where nobody has a share"
    perform(bench, "toggle_color")
    wait(lambda: np.isnan(pixels(bench)[:, 31, 31]).all() and np.isfinite(pixels(bench)[:, 30, 34]).all())


def test_buttons_the_pointer_and_two_telescopes(
    bench: Any, make_observation: Any, settle: Any, wait: Callable[..., None], qtbot: Any
) -> None:
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench.open([make_observation(), make_observation(bands="z", seed=5, name="VISTA")])
    bench.document.add(*(make_source("point", x, y, n_channels=4) for x, y in ((20, 24), (34, 30), (47, 41))))
    bench.document.select([])
    settle(bench)
    qtbot.mouseClick(widget.looking.buttons[View.ISOLATED], Qt.MouseButton.LeftButton)
    assert "No source is selected" in widget.sentence.text()
    assert bench.layers.view is View.DATA and widget.looking.buttons[View.DATA].isChecked()
    bench.document.select([bench.document.scene.sources[1].id])
    qtbot.mouseClick(widget.looking.buttons[View.ISOLATED], Qt.MouseButton.LeftButton)
    qtbot.mouseClick(widget.looking.manners[Isolation.SHARE], Qt.MouseButton.LeftButton)
    wait(lambda: pixels(bench, Role.ISOLATED_COLOR).any())
    markers = bench.viewer.layers.index(bench.markers.layer)
    assert bench.viewer.layers.index(bench.layers.layer(Role.ISOLATED_COLOR)) < markers
    position = (0, 0, *bench.markers.layer.data_to_world((30.0, 34.0)))
    light = expected(bench, Isolation.SHARE)[0, 30, 34]
    wait(lambda: bench.hover.reading(position).light)
    assert float(bench.hover.reading(position).light.split()[1]) == pytest.approx(light, rel=1e-2)
    perform(bench, "next_telescope")
    wait(lambda: np.allclose(pixels(bench, Role.ISOLATED, 1)[0], expected(bench, Isolation.SHARE, k=1)[0], atol=2e-3))
    qtbot.mouseClick(widget.looking.buttons[View.DATA], Qt.MouseButton.LeftButton)
    assert not widget.looking.manners[Isolation.SHARE].isVisible()

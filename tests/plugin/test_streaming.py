"""What a running fit may touch: the pictures, and nothing that a person has set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deblend import FitSettings, Observation
from napari_deblend.actions import perform
from napari_deblend.pictures import RESIDUAL_LIMITS
from napari_deblend.runner import Phase
from napari_deblend.views import Role

pytestmark = pytest.mark.gui

ENDLESS = FitSettings(max_iterations=100_000, tolerance=1e-30)


@pytest.fixture
def streamed(opened: Any) -> Any:
    """The workbench with model, residual and components visible, and every frame that was shown."""
    for role in (Role.MODEL, Role.RESIDUAL, Role.COMPONENTS):
        opened.layers.layer(role).visible = True
    opened.frames = []
    opened.framed.connect(opened.frames.append)
    return opened


def run_a_while(bench: Any, wait: Callable[..., None], iterations: int = 3) -> None:
    bench.settings = ENDLESS
    perform(bench, "fit_or_pause")
    wait(lambda: bench.frame.iteration >= iterations or bench.frame.sentence)


def stop(bench: Any, wait: Callable[..., None]) -> None:
    if bench.runner.is_running:
        perform(bench, "cancel_fit")
    wait(lambda: bench.frame.sentence and bench.phase is Phase.IDLE)


def test_layers_show_the_newest_state(streamed: Any, observation: Observation, wait: Callable[..., None]) -> None:
    run_a_while(streamed, wait)
    stop(streamed, wait)
    layers, last = streamed.layers, streamed.frames[-1]
    model = layers.layer(Role.MODEL).data
    np.testing.assert_array_equal(layers.layer(Role.DATA).data, observation.images.astype(np.float32))
    residual = (observation.images - model) * np.sqrt(observation.weights)
    np.testing.assert_allclose(layers.layer(Role.RESIDUAL).data, residual, atol=1e-3)
    assert last.chi2 == pytest.approx(np.mean(residual**2), rel=1e-3)
    row = layers.component_row
    everything = np.asarray(layers.layer(Role.COMPONENTS).data)
    np.testing.assert_allclose(everything.sum(axis=0), model, atol=2e-3 * model.max())
    np.testing.assert_allclose(layers.layer(Role.COMPONENTS).data[row], everything[row])


def test_the_document_follows_the_fit_and_takes_it_back_as_one_step(streamed: Any, wait: Callable[..., None]) -> None:
    before = streamed.document.scene
    run_a_while(streamed, wait)
    stop(streamed, wait)
    scene = streamed.document.scene
    np.testing.assert_allclose(streamed.markers.layer.data, [(s.y, s.x) for s in scene.sources])
    assert not np.allclose([s.x for s in scene.sources], [s.x for s in before.sources], atol=1e-6)
    streamed.document.undo()
    assert streamed.document.scene is before


def test_limits_colors_visibility_selection_order_and_view_stay(streamed: Any, wait: Callable[..., None]) -> None:
    viewer, layers = streamed.viewer, streamed.layers
    layers.layer(Role.RESIDUAL).contrast_limits = (-3.0, 2.0)
    layers.layer(Role.MODEL).contrast_limits = (0.0, 7.0)
    layers.layer(Role.MODEL).colormap = "magma"
    layers.layer(Role.DATA).visible = False
    layers.layer(Role.MODEL).opacity = 0.7
    viewer.layers.selection = {layers.layer(Role.RESIDUAL)}
    viewer.dims.set_current_step(viewer.dims.ndim - 3, 2)
    viewer.scene.camera.zoom = 11.0
    streamed.document.select([streamed.document.scene.sources[1].id])

    def settings() -> tuple[Any, ...]:
        looks = [(x.visible, tuple(x.contrast_limits), x.colormap.name, x.opacity, x.name) for x in layers]
        ours = {id(layer) for layer in viewer.layers.selection}
        return (
            looks,
            ours,
            [id(layer) for layer in viewer.layers],
            tuple(viewer.dims.current_step),
            viewer.scene.camera.zoom,
            streamed.document.selection,
            set(streamed.markers.layer.selected_data),
        )

    before = settings()
    run_a_while(streamed, wait)
    assert settings() == before
    stop(streamed, wait)
    assert settings() == before


def test_residual_limits_are_symmetric_and_fixed(opened: Any) -> None:
    residual = opened.layers.layer(Role.RESIDUAL)
    assert tuple(residual.contrast_limits) == RESIDUAL_LIMITS
    assert RESIDUAL_LIMITS[0] == -RESIDUAL_LIMITS[1]


def test_hidden_layers_get_the_last_picture_when_they_are_shown(streamed: Any, wait: Callable[..., None]) -> None:
    model = streamed.layers.layer(Role.MODEL)
    model.visible = False
    run_a_while(streamed, wait)
    stop(streamed, wait)
    model.visible = True
    expected = streamed.runner._machine.shown.model(0)
    wait(lambda: np.allclose(model.data, expected))


@pytest.mark.parametrize("role", [Role.DATA, Role.MODEL, Role.RESIDUAL, Role.COMPONENTS])
def test_a_deleted_layer_never_breaks_the_run(streamed: Any, wait: Callable[..., None], role: Role) -> None:
    run_a_while(streamed, wait)
    streamed.viewer.layers.remove(streamed.layers.layer(role))
    seen = len(streamed.frames)
    wait(lambda: len(streamed.frames) > seen or streamed.frame.sentence)
    stop(streamed, wait)
    assert streamed.layers.layer(role) is None
    perform(streamed, "show_layers")
    assert streamed.layers.layer(role) in streamed.viewer.layers


def test_the_deleted_layer_of_sources_comes_back_when_asked_for(streamed: Any, wait: Callable[..., None]) -> None:
    run_a_while(streamed, wait)
    streamed.viewer.layers.remove(streamed.markers.layer)
    stop(streamed, wait)
    assert len(streamed.document.scene) == 3
    perform(streamed, "show_layers")
    assert len(streamed.markers.layer.data) == 3


def test_a_renamed_layer_is_still_ours_and_a_namesake_is_not(streamed: Any, wait: Callable[..., None]) -> None:
    model = streamed.layers.layer(Role.MODEL)
    name, model.name = model.name, "mine"
    namesake = streamed.viewer.add_image(np.full(model.data.shape, 7.0), name=name)
    run_a_while(streamed, wait)
    stop(streamed, wait)
    assert model.name == "mine" and model.data.any()
    assert (namesake.data == 7.0).all()


def test_an_edit_during_the_run_carries_on(streamed: Any, wait: Callable[..., None]) -> None:
    run_a_while(streamed, wait)
    removed = streamed.document.scene.sources[0].id
    streamed.document.delete([removed])
    revision = streamed.document.revision
    wait(lambda: streamed.frame.revision == revision)
    assert len(streamed.frame.scene) == 2
    stop(streamed, wait)
    assert removed not in {s.id for s in streamed.document.scene.sources}
    assert streamed.document.undo_label == "Delete source 1"


def test_taking_back_a_running_fit_stops_it(streamed: Any, wait: Callable[..., None]) -> None:
    before = streamed.document.scene
    run_a_while(streamed, wait)
    perform(streamed, "undo")
    wait(lambda: streamed.phase is Phase.IDLE and streamed.frame.revision == streamed.document.revision)
    places = [(s.x, s.y) for s in streamed.document.scene.sources]
    assert places == [(s.x, s.y) for s in before.sources]


def test_a_layer_per_component_is_not_made(
    opened: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    from deblend import make_source

    n_layers = len(opened.viewer.layers)
    rng = np.random.default_rng(5)
    x, y = rng.uniform(5, 55, (2, 57))
    opened.document.add(*(make_source("point", a, b, n_channels=3) for a, b in zip(x, y, strict=True)))
    settle(opened)
    # a layer is painted by the window's timer, a moment after the answer came
    wait(lambda: opened.layers.layer(Role.COMPONENTS).data.shape[0] == 60)
    assert len(opened.viewer.layers) == n_layers

"""All that a person can do by name: the same from a button, a key and the command palette.

Each takes the workbench. What cannot be done is a ValueError with a sentence; `perform` says it in the window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deblend import Source, Status, detect, with_missed
from deblend.sky import same_passbands
from napari_deblend.coloring import bound_colors
from napari_deblend.composing import duplicate_sources, merge_sources, split_sources
from napari_deblend.constraint_actions import (
    load_preset,
    save_preset,
    shift_constraint,
    show_constraints,
    switch_constraint,
    use_preset,
)
from napari_deblend.draw_actions import draw_or_pause, export_draws, next_draw_view, show_sureness, stop_drawing
from napari_deblend.dusting import toggle_dust
from napari_deblend.exporting import ask_catalog, ask_folder, ask_regions, ask_report, ask_script
from napari_deblend.fit_actions import FIT_LABEL, cancel_fit, fit_or_pause, fit_uneven, step_fit
from napari_deblend.history_actions import (
    compare_with_last_step,
    compare_with_run,
    go_back_to_run,
    other_manner,
    walk,
)
from napari_deblend.isolating import Isolation, look_isolated, next_isolation
from napari_deblend.jobs import DETECTED, MISSED
from napari_deblend.key_pointer import toggle_key_pointer
from napari_deblend.known_stars import forget_stars, load_stars
from napari_deblend.learner import learn_prior, stop_learning
from napari_deblend.leftovers import add_from_residual, next_residual
from napari_deblend.loading import load_sources
from napari_deblend.machine import Machine
from napari_deblend.masking import draw_mask, seen_by_machine, uncover_all, without_hidden
from napari_deblend.moving import toggle_placing
from napari_deblend.nudging import nudge, take_handle, toggle_limit
from napari_deblend.painting import Brush, forget_paint, paint
from napari_deblend.panels import toggle_panels
from napari_deblend.parameters import show_parameters
from napari_deblend.placing import KINDS_OF_KEYS, choose_kind
from napari_deblend.rounds import have_classified
from napari_deblend.samp import send_catalog, send_image, toggle_samp
from napari_deblend.selecting import draw_selection, group_selected, select_all, select_group, ungroup_selected
from napari_deblend.source_look import show_plots
from napari_deblend.star_psf import make_star_psf
from napari_deblend.stretching import brighter, fainter, next_stretch, toggle_flux
from napari_deblend.tour import open_sample, take_tour, tour_back, tour_skip
from napari_deblend.viewing import blink, look, next_telescope, next_view, toggle_color, toggle_color_bar
from napari_deblend.views import View
from napari_deblend.workbench import Workbench


@dataclass(frozen=True)
class Action:
    """Something a person can do: its command id is `napari-deblend.` and its name."""

    name: str
    title: str
    do: Callable[[Workbench], None]
    key: str = ""
    """In napari's notation; empty for none."""


def perform(bench: Workbench, name: str) -> None:
    """Do an action; what cannot be done is said in the window."""
    try:
        ACTIONS[name].do(bench)
    except ValueError as error:
        bench.tell(str(error))


# the scene -------------------------------------------------------------------------------------------------------


def undo(bench: Workbench) -> None:
    """Take the last step back; taking back a running fit stops it."""
    is_fit = bench.document.undo_label == FIT_LABEL and not bench.document.in_gesture
    if is_fit:
        bench.rounds.forget()
    if is_fit and bench.runner is not None and bench.runner.is_running:
        bench.runner.cancel()
    bench.document.undo()


def redo(bench: Workbench) -> None:
    bench.document.redo()


def find_sources(bench: Workbench) -> None:
    """Detect sources at the present threshold and put them in place of the present ones."""
    if bench.runner is None:
        bench.resume()
    assert bench.runner is not None
    observations, threshold, method = bench.document.observations, bench.threshold, bench.method
    options: dict[str, Any] = {"kind": bench.kind, "box_scale": bench.box_scale, "method": method}
    stars, seen = bench.document.scene.stars, without_hidden(observations, bench.document.scene)

    def job(machine: Machine) -> object:
        return observations, detect(seen, threshold, **options, solve=False, stars=stars)

    bench.tell("Looking for sources…")
    bench.detected_threshold, bench.detected_method = threshold, method
    bench.runner.submit(DETECTED, job)


def find_missed(bench: Workbench) -> None:
    """Look for sources in what the present model leaves over, and add them; the answer comes by and by."""
    if bench.runner is None or bench.frame is None:
        raise ValueError("There is no model yet, and so no residual; open images and fit some sources first.")
    kind, box_scale = bench.kind, bench.box_scale

    def job(machine: Machine) -> object:
        observations, scene = machine.observations, machine.scene
        models = [machine.shown.model(k) for k in range(len(observations))]
        more = with_missed(scene, seen_by_machine(machine), models, kind=kind, box_scale=box_scale, solve=False)
        return observations, more.sources[len(scene) :]

    bench.tell("Looking at the residual…")
    bench.runner.submit(MISSED, job)


def psf_from_stars(bench: Workbench) -> None:
    """Make the PSF of the image in view from the selected sources, or from stars that are found; it is only shown."""
    make_star_psf(bench)


def _selected(bench: Workbench) -> tuple[Source, ...]:
    """Return the selected sources; raises ValueError where there are none."""
    selected = bench.document.selected
    if not selected:
        raise ValueError("No source is selected; click its marker or its row first.")
    return selected


def delete_selected(bench: Workbench) -> None:
    if not bench.document.selection:
        raise ValueError("No source is selected; click its marker or its row first.")
    bench.document.delete(bench.document.selection)


def toggle_lock(bench: Workbench) -> None:
    """Lock the selected sources, or unlock them where all are locked."""
    selected = _selected(bench)
    all_locked = all(source.is_locked for source in selected)
    bench.document.set_status(bench.document.selection, Status.FREE if all_locked else Status.LOCKED)


def toggle_variable(bench: Workbench) -> None:
    """Give the selected sources a flux of their own at every epoch, or constant ones where all of them vary."""
    selected = _selected(bench)
    if len(same_passbands(bench.document.scene.channels)) == len(bench.document.scene.channels):
        raise ValueError("Every band was seen once; what varies needs images of one band at several epochs.")
    bench.document.set_variable(bench.document.selection, not all(source.is_variable for source in selected))


def toggle_moving(bench: Workbench) -> None:
    """Have the next click place something that moves, or no longer."""
    toggle_placing(bench)


def toggle_adding(bench: Workbench) -> None:
    """Have plain clicks add sources, or no longer."""
    layer = bench.markers.layer
    if layer is None:
        raise ValueError("The layer of sources was deleted; press “Show layers” to have it again.")
    layer.mode = "pan_zoom" if bench.markers.is_adding else "add"
    bench.viewer.layers.selection.active = layer


def add_at_cursor(bench: Workbench) -> None:
    bench.add_at(*bench.gestures.pixel(bench.viewer.cursor.position))


def _select_next(step: int) -> Callable[[Workbench], None]:
    def select(bench: Workbench) -> None:
        sources = bench.document.scene.sources
        if sources:
            ids = [source.id for source in sources]
            last = bench.document.selection[-1] if bench.document.selection else None
            row = (ids.index(last) + step) % len(ids) if last is not None else (0 if step > 0 else -1)
            bench.document.select([ids[row]])

    return select


def open_menu(bench: Workbench) -> None:
    """Open the menu of the selected sources beside the marker of the last one."""
    bench.open_menu(at_pointer=False)


def draw_box(bench: Workbench) -> None:
    """Have the mouse draw the box of a cut-out."""
    bench.cutting.draw()


def cut_out(bench: Workbench) -> None:
    """Go on with the piece in the box: of a large file that is not open yet, or of what is open."""
    bench.cutting.cut()


# layers ---------------------------------------------------------------------------------------------------------


def show_layers(bench: Workbench) -> None:
    """Bring deleted layers back."""
    bench.resume()


# keeping ---------------------------------------------------------------------------------------------------------


def save_session(bench: Workbench) -> None:
    """Save the work to its file; the first time, ask for one."""
    from napari_deblend.widgets.keeping import ask_where_to_save

    if not bench.document.is_open:
        raise ValueError("There is nothing to save yet; open FITS files first.")
    if bench.keeper.path is not None:
        bench.keeper.save(bench.keeper.path)
    else:
        ask_where_to_save(bench)


def save_session_as(bench: Workbench) -> None:
    """Ask for a file and save the work there, with its images or without."""
    from napari_deblend.widgets.keeping import ask_where_to_save

    if not bench.document.is_open:
        raise ValueError("There is nothing to save yet; open FITS files first.")
    ask_where_to_save(bench)


def open_session(bench: Workbench) -> None:
    """Ask for a session and go on with it; the present work is kept."""
    from napari_deblend.widgets.keeping import ask_what_to_open

    path = ask_what_to_open(bench)
    if path is not None:
        bench.keeper.open(path)


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("fit_or_pause", "Fit, pause or go on", fit_or_pause, "G"),
        Action("cancel_fit", "Stop the fit and keep the best", cancel_fit, "Shift-G"),
        Action("step_fit", "Take one iteration of the fit and wait", step_fit, "Alt-G"),
        Action("fit_uneven", "Fit uneven galaxies anew as learned ones", fit_uneven),
        Action("draw_or_pause", "Draw scenes that the data allow; pause or go on", draw_or_pause, "Alt-U"),
        Action("stop_drawing", "Make no more draws; keep those there are", stop_drawing, "Control-Alt-U"),
        Action(
            "next_draw_view", "Look at the draws: mean, deviation, each, data or prior, none", next_draw_view, "Alt-W"
        ),
        Action("show_sureness", "Show or hide how sure the fit is", show_sureness, "Alt-Y"),
        Action("export_draws", "Write the draws: table, pictures, covariances, percentiles…", export_draws),
        Action("learn_prior", "Learn a prior of galaxies, for draws under it…", learn_prior, "Alt-P"),
        Action("stop_learning", "Stop learning a prior, keep what is learned", stop_learning),
        Action("previous_state", "Go back to the state before on the chi² curve", walk(-1), "Control-Alt-Left"),
        Action("next_state", "Go to the state behind on the chi² curve", walk(1), "Control-Alt-Right"),
        Action("go_back_to_run", "Go back to the end of the chosen run", go_back_to_run, "Control-Alt-R"),
        Action("compare_with_run", "Compare with the chosen run, or no longer", compare_with_run, "Shift-Q"),
        Action("compare_with_last_step", "Compare with the state before the last step", compare_with_last_step),
        Action("other_manner", "Compare by blinking or side by side", other_manner, "Control-Alt-Q"),
        Action("find_sources", "Detect sources", find_sources, "Shift-F"),
        Action("find_missed", "Add sources that stand out of the residual", find_missed, "Control-Shift-F"),
        Action("classify_sources", "Tell stars from galaxies by chi²", have_classified),
        Action("psf_from_stars", "Make the PSF from the selected stars, or from those in the image", psf_from_stars),
        Action("undo", "Undo", undo, "Control-Z"),
        Action("redo", "Redo", redo, "Control-Shift-Z"),
        Action("toggle_adding", "Add sources by clicking: on or off", toggle_adding, "N"),
        Action("add_at_cursor", "Add a source under the pointer", add_at_cursor, "Shift-N"),
        Action("delete_selected", "Delete the selected sources", delete_selected, "Shift-Delete"),
        Action("duplicate_sources", "Duplicate the selected sources", duplicate_sources, "Control-D"),
        Action("merge_sources", "Merge the selected sources into one", merge_sources, "Control-J"),
        Action("split_sources", "Split the selected sources into bulge and disk", split_sources, "Control-B"),
        Action(
            "toggle_dust", "Put dust in front of the selected sources, or take it away", toggle_dust, "Control-Alt-D"
        ),
        Action("show_parameters", "Edit the numbers of the selected source", show_parameters, "Shift-E"),
        Action("load_stars", "Load known stars…", load_stars),
        Action("forget_stars", "Forget the known stars", forget_stars),
        Action("toggle_variable", "Let the selected sources vary with time, or no longer", toggle_variable, "Shift-Y"),
        Action("toggle_moving", "Add a source that moves, where the next click says", toggle_moving, "J"),
        Action("toggle_lock", "Lock or unlock the selected sources", toggle_lock, "K"),
        Action("show_constraints", "Show the constraints of the selected sources", show_constraints, "Shift-K"),
        Action("switch_constraint", "Switch the chosen constraint on or off", switch_constraint),
        Action("bound_colors", "Bound the colors of the selected source, or no longer", bound_colors, "Alt-O"),
        Action("constraint_earlier", "Have the chosen constraint act earlier", shift_constraint(-1)),
        Action("constraint_later", "Have the chosen constraint act later", shift_constraint(1)),
        Action("preset_galaxy", "Constrain as an isolated galaxy", use_preset("isolated galaxy")),
        Action("preset_spiral", "Constrain as a spiral", use_preset("spiral")),
        Action("preset_irregular", "Constrain as an irregular galaxy", use_preset("irregular")),
        Action("preset_star", "Make the selected sources stars", use_preset("star")),
        Action("preset_lsb", "Constrain as a galaxy of low surface brightness", use_preset("LSB")),
        Action("save_preset", "Save the constraints of the selected source as a preset…", save_preset),
        Action("load_preset", "Load a preset of constraints…", load_preset),
        Action("open_menu", "Open the menu of the selected sources", open_menu, "Shift-F10"),
        Action("nudge_left", "Move the selected sources, or the handle taken, left", nudge(-1, 0), "Shift-Left"),
        Action("nudge_right", "Move the selected sources, or the handle taken, right", nudge(1, 0), "Shift-Right"),
        Action("nudge_up", "Move the selected sources, or the handle taken, up", nudge(0, 1), "Shift-Up"),
        Action("nudge_down", "Move the selected sources, or the handle taken, down", nudge(0, -1), "Shift-Down"),
        Action("take_handle", "Take the next handle of the source, for keys to move", take_handle, "Control-Alt-H"),
        Action("toggle_key_pointer", "Point and drag by keys, or no longer", toggle_key_pointer, "Control-Alt-M"),
        Action("draw_box", "Draw a box to cut out", draw_box, "Shift-B"),
        Action("cut_out", "Cut out the box", cut_out, "Shift-X"),
        Action("next_source", "Select the next source", _select_next(1), "."),
        Action("previous_source", "Select the previous source", _select_next(-1), ","),
        *(
            Action(f"add_{kind.replace('-', '_')}", f"Add {kind} sources from now on", choose_kind(kind), f"Alt-{k}")
            for k, kind in enumerate(KINDS_OF_KEYS, 1)
        ),
        Action("hide_pixels", "Hide pixels with a brush", draw_mask("paint"), "Shift-O"),
        Action("hide_polygon", "Hide pixels within a polygon", draw_mask("polygon"), "Control-Shift-H"),
        Action("uncover_pixels", "Uncover hidden pixels with a brush", draw_mask("erase"), "Shift-I"),
        Action("uncover_all", "Uncover all hidden pixels of the image in view", uncover_all),
        Action("paint_belongs", "Paint what belongs to the selected source", paint(Brush.BELONGS), "Alt-B"),
        Action("paint_nothing", "Paint where nothing of the selected source is", paint(Brush.NOTHING), "Alt-N"),
        Action("erase_paint", "Erase what is painted for the selected source", paint(Brush.ERASE), "Alt-E"),
        Action("forget_paint", "Erase all that is painted for the selected sources", forget_paint),
        Action("toggle_limit", "Have the center stay in a circle, or no longer", toggle_limit, "Shift-J"),
        Action("select_all", "Select all sources", select_all, "Control-Shift-A"),
        Action("select_rectangle", "Select what the next drag has in its rectangle", draw_selection(False), "Shift-S"),
        Action("select_lasso", "Select what the next drag goes around", draw_selection(True), "Control-Shift-S"),
        Action("group_selected", "Group the selected sources", group_selected, "Control-Shift-G"),
        Action("ungroup_selected", "Ungroup the selected sources", ungroup_selected, "Control-Shift-U"),
        Action("select_group", "Select the whole group", select_group, "Shift-U"),
        Action("blink", "Blink data and model", blink, "Q"),
        Action("next_view", "Look at the next of data, model, residual, component", next_view, "W"),
        Action("look_at_data", "Look at the data", look(View.DATA), "Shift-D"),
        Action("look_at_model", "Look at the model", look(View.MODEL), "Shift-M"),
        Action("look_at_residual", "Look at the residual", look(View.RESIDUAL), "Shift-R"),
        Action("look_at_component", "Look at the selected source alone", look(View.COMPONENT), "Shift-C"),
        Action("look_at_chi2", "Look at the chi² of every place", look(View.CHI2), "Alt-Q"),
        Action("toggle_panels", "Look at data, model, residual and source side by side", toggle_panels, "Alt-V"),
        Action(
            "next_isolation", "Isolate the selected sources: model, data minus others, share", next_isolation, "Shift-Z"
        ),
        Action("look_at_isolated", "Look at the selected sources without the others", look_isolated(), "Alt-I"),
        Action("isolate_model", "Isolate the selected sources: their model", look_isolated(Isolation.MODEL)),
        Action("isolate_data", "Isolate the selected sources: data minus all others", look_isolated(Isolation.DATA)),
        Action(
            "isolate_share", "Isolate the selected sources: their share of the data", look_isolated(Isolation.SHARE)
        ),
        Action("next_telescope", "Look at the next of the observations", next_telescope, "Shift-T"),
        Action("toggle_color", "Color of all bands or one band", toggle_color, "H"),
        Action("toggle_color_bar", "Show or hide color bars", toggle_color_bar, "Shift-H"),
        Action("toggle_flux", "Residuals in flux or in units of the noise", toggle_flux, "U"),
        Action("next_stretch", "Next stretch: asinh, zscale, percentile", next_stretch, "Control-Alt-A"),
        Action("brighter", "Brighten the pictures", brighter, "Control-]"),
        Action("fainter", "Darken the pictures", fainter, "Control-["),
        Action("next_residual", "Go to the next worst residual", next_residual, "Shift-W"),
        Action("add_from_residual", "Add a source at the chosen residual", add_from_residual, "Control-Alt-N"),
        Action("show_plots", "Show or hide the plots of the selected source", show_plots, "Alt-A"),
        Action("show_layers", "Show layers again", show_layers),
        Action("load_sources", "Add sources from a catalog or from DS9 regions…", load_sources, "Control-Alt-L"),
        Action("export_catalog", "Write the catalog: ECSV, FITS, VOTable or Parquet…", ask_catalog, "Control-Alt-E"),
        Action("export_all", "Write catalog, models, residuals, components and regions into a folder…", ask_folder),
        Action("export_regions", "Write the sources as DS9 regions…", ask_regions),
        Action("export_report", "Write a report: pictures, catalog, curve and assumptions…", ask_report),
        Action("export_script", "Write a Python script that does the same work again…", ask_script),
        Action("send_catalog", "Send the catalog to TOPCAT and others (SAMP)", send_catalog),
        Action("send_image", "Send the image in view to DS9 and others (SAMP)", send_image),
        Action("toggle_samp", "Take tables of TOPCAT and others as sources (SAMP), or no longer", toggle_samp),
        Action("save_session", "Save the session", save_session, "Control-Alt-K"),
        Action("save_session_as", "Save the session elsewhere, with its images or without…", save_session_as),
        Action("open_session", "Open a session", open_session),
        Action("open_sample", "Open the sample blend and work on it", open_sample),
        Action("take_tour", "Take the guided tour", take_tour, "Shift-F1"),
        Action("tour_skip", "Go to the next step of the tour", tour_skip, "Alt-."),
        Action("tour_back", "Go back to the step of the tour before", tour_back, "Alt-,"),
    )
}
"""Every action by its name, in the order in which the help shows them."""

"""Commands of the palette and the menus; each finds the workbench of the viewer that it is called in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.viewer import Viewer

from napari_deblend.actions import perform
from napari_deblend.keys import bind
from napari_deblend.workbench import Workbench


def open_fits(viewer: Viewer) -> None:
    """Ask for FITS files and open them in the window, with the widget beside them."""
    from napari_deblend.widgets.opening import ask_and_open

    _with_widget(viewer)
    ask_and_open(Workbench.of(viewer))


def open_session_file(viewer: Viewer, path: Path) -> None:
    """Go on with the work of a session file, with the widget beside it."""
    _with_widget(viewer)
    Workbench.of(viewer).keeper.open(path)


def _with_widget(viewer: Viewer) -> None:
    viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")


def _command(name: str) -> Callable[[Viewer], None]:
    def run(viewer: Viewer) -> None:
        bench = Workbench.of(viewer)
        bind(bench)
        perform(bench, name)

    return run


fit_or_pause = _command("fit_or_pause")
cancel_fit = _command("cancel_fit")
step_fit = _command("step_fit")
fit_uneven = _command("fit_uneven")
draw_or_pause = _command("draw_or_pause")
stop_drawing = _command("stop_drawing")
next_draw_view = _command("next_draw_view")
show_sureness = _command("show_sureness")
export_draws = _command("export_draws")
learn_prior = _command("learn_prior")
stop_learning = _command("stop_learning")
previous_state = _command("previous_state")
next_state = _command("next_state")
go_back_to_run = _command("go_back_to_run")
compare_with_run = _command("compare_with_run")
compare_with_last_step = _command("compare_with_last_step")
other_manner = _command("other_manner")
find_sources = _command("find_sources")
find_missed = _command("find_missed")
classify_sources = _command("classify_sources")
psf_from_stars = _command("psf_from_stars")
undo = _command("undo")
redo = _command("redo")
toggle_adding = _command("toggle_adding")
add_at_cursor = _command("add_at_cursor")
duplicate_sources = _command("duplicate_sources")
merge_sources = _command("merge_sources")
split_sources = _command("split_sources")
toggle_dust = _command("toggle_dust")
show_parameters = _command("show_parameters")
load_stars = _command("load_stars")
forget_stars = _command("forget_stars")
delete_selected = _command("delete_selected")
toggle_lock = _command("toggle_lock")
toggle_variable = _command("toggle_variable")
toggle_moving = _command("toggle_moving")
show_constraints = _command("show_constraints")
switch_constraint = _command("switch_constraint")
bound_colors = _command("bound_colors")
constraint_earlier = _command("constraint_earlier")
constraint_later = _command("constraint_later")
preset_galaxy = _command("preset_galaxy")
preset_spiral = _command("preset_spiral")
preset_irregular = _command("preset_irregular")
preset_star = _command("preset_star")
preset_lsb = _command("preset_lsb")
save_preset = _command("save_preset")
load_preset = _command("load_preset")
open_menu = _command("open_menu")
nudge_left = _command("nudge_left")
nudge_right = _command("nudge_right")
nudge_up = _command("nudge_up")
nudge_down = _command("nudge_down")
take_handle = _command("take_handle")
toggle_key_pointer = _command("toggle_key_pointer")
draw_box = _command("draw_box")
cut_out = _command("cut_out")
next_source = _command("next_source")
previous_source = _command("previous_source")
add_point = _command("add_point")
add_galaxy = _command("add_galaxy")
add_exponential = _command("add_exponential")
add_de_vaucouleurs = _command("add_de_vaucouleurs")
add_sersic = _command("add_sersic")
add_gaussian = _command("add_gaussian")
add_free_form = _command("add_free_form")
add_starlet = _command("add_starlet")
add_learned = _command("add_learned")
hide_pixels = _command("hide_pixels")
hide_polygon = _command("hide_polygon")
uncover_pixels = _command("uncover_pixels")
uncover_all = _command("uncover_all")
paint_belongs = _command("paint_belongs")
paint_nothing = _command("paint_nothing")
erase_paint = _command("erase_paint")
forget_paint = _command("forget_paint")
toggle_limit = _command("toggle_limit")
select_all = _command("select_all")
select_rectangle = _command("select_rectangle")
select_lasso = _command("select_lasso")
group_selected = _command("group_selected")
ungroup_selected = _command("ungroup_selected")
select_group = _command("select_group")
blink = _command("blink")
next_view = _command("next_view")
look_at_data = _command("look_at_data")
look_at_model = _command("look_at_model")
look_at_residual = _command("look_at_residual")
look_at_component = _command("look_at_component")
next_isolation = _command("next_isolation")
look_at_isolated = _command("look_at_isolated")
isolate_model = _command("isolate_model")
isolate_data = _command("isolate_data")
isolate_share = _command("isolate_share")
look_at_chi2 = _command("look_at_chi2")
toggle_panels = _command("toggle_panels")
next_telescope = _command("next_telescope")
toggle_color = _command("toggle_color")
toggle_color_bar = _command("toggle_color_bar")
toggle_flux = _command("toggle_flux")
next_stretch = _command("next_stretch")
brighter = _command("brighter")
fainter = _command("fainter")
next_residual = _command("next_residual")
add_from_residual = _command("add_from_residual")
show_plots = _command("show_plots")
show_layers = _command("show_layers")
load_sources = _command("load_sources")
export_catalog = _command("export_catalog")
export_all = _command("export_all")
export_regions = _command("export_regions")
export_script = _command("export_script")
send_catalog = _command("send_catalog")
send_image = _command("send_image")
toggle_samp = _command("toggle_samp")
export_report = _command("export_report")
save_session = _command("save_session")
save_session_as = _command("save_session_as")
open_session = _command("open_session")
open_sample = _command("open_sample")
take_tour = _command("take_tour")
tour_skip = _command("tour_skip")
tour_back = _command("tour_back")

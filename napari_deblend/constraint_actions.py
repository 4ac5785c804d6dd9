"""Actions on constraints, for keys and the command palette."""

from __future__ import annotations

from collections.abc import Callable

from napari_deblend.presets import named_preset
from napari_deblend.workbench import Workbench


def show_constraints(bench: Workbench) -> None:
    """Have the list of constraints in view, with the focus in it."""
    if not bench.document.selection:
        raise ValueError("No source is selected; click its marker or its row first.")
    bench.constraining.wanted.emit()


def switch_constraint(bench: Workbench) -> None:
    """Ask the chosen constraint of the selected sources, or no longer."""
    constraining = bench.constraining
    line = constraining.line(constraining.kind)
    if line is None:
        label = constraining.kind.info.label
        raise ValueError(f"{label!r} means nothing for what is selected; choose another constraint, or another kind.")
    constraining.switch(line.kind, not line.constraint.active)


def shift_constraint(step: int) -> Callable[[Workbench], None]:
    """Return the action that has the chosen constraint act earlier or later."""

    def shift(bench: Workbench) -> None:
        bench.constraining.shift(bench.constraining.kind, step)

    return shift


def use_preset(name: str) -> Callable[[Workbench], None]:
    """Return the action that asks what a preset asks."""

    def use(bench: Workbench) -> None:
        preset = named_preset(name)
        bench.constraining.apply(preset)
        bench.tell(f"{preset.name}: {preset.help}" if preset.help else f"The constraints are those of {preset.name!r}.")

    return use


def save_preset(bench: Workbench) -> None:
    """Ask for a file, and keep the constraints of the selected source there and among the presets."""
    from napari_deblend.widgets.presets import ask_and_save

    ask_and_save(bench)


def load_preset(bench: Workbench) -> None:
    """Ask for the file of a preset, keep it among the presets and use it."""
    from napari_deblend.widgets.presets import ask_and_load

    ask_and_load(bench)

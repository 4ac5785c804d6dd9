"""The menu of presets, and the files of a person's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

from napari_deblend.actions import perform
from napari_deblend.constraint_actions import use_preset
from napari_deblend.presets import BUILT_IN, SUFFIX, keep_preset, own_presets, read_preset, write_preset
from napari_deblend.workbench import Workbench

FILTER = f"Presets (*{SUFFIX});;All files (*)"


class PresetButton(QPushButton):
    """A menu of all presets, as they are when it is opened."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self.setText("Preset")
        self.setToolTip("Ask at once what suits a kind of object; your own presets are here too")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(self.fill)
        self.setMenu(menu)
        self.fill()

    def fill(self) -> None:
        """Write the menu anew."""
        menu = self.menu()
        menu.clear()
        fill_with_presets(menu, self._bench)


def fill_with_presets(menu: QMenu, bench: Workbench) -> None:
    """Write all presets into a menu, and how one is kept and loaded."""
    for group in (BUILT_IN, own_presets()):
        for preset in group:
            action = menu.addAction(preset.name)
            action.setToolTip(preset.help or f"Your own preset for a {preset.kind} source")
            action.triggered.connect(partial(_use, bench, preset.name))
        menu.addSeparator()
    menu.addAction("Save as preset…").triggered.connect(partial(perform, bench, "save_preset"))
    menu.addAction("Load a preset…").triggered.connect(partial(perform, bench, "load_preset"))


def _use(bench: Workbench, name: str, *_: object) -> None:
    try:
        use_preset(name)(bench)
    except ValueError as error:
        bench.tell(str(error))


def ask_and_save(bench: Workbench, parent: QWidget | None = None) -> None:
    """Ask for a file; its name is that of the preset. Raises ValueError where it cannot be kept."""
    if bench.constraining.component is None:
        raise ValueError("No source is selected; select the one whose constraints make the preset.")
    path, _ = QFileDialog.getSaveFileName(parent, "Save as preset", f"preset{SUFFIX}", FILTER)
    if path:
        save(bench, Path(path))


def ask_and_load(bench: Workbench, parent: QWidget | None = None) -> None:
    """Ask for the file of a preset. Raises ValueError where it is none."""
    path, _ = QFileDialog.getOpenFileName(parent, "Load a preset", "", FILTER)
    if path:
        load(bench, Path(path))


def save(bench: Workbench, path: Path) -> None:
    """Keep what is asked of the chosen component in a file, and among the presets; raises ValueError where that cannot
    be."""
    preset = bench.constraining.keep(path.stem)
    write_preset(path.with_suffix(SUFFIX), preset)
    bench.tell(f"The preset {preset.name!r} is in {path.with_suffix(SUFFIX)}, and in the menu from now on.")


def load(bench: Workbench, path: Path) -> None:
    """Have the preset of a file in the menu, and use it where sources are selected; raises ValueError where it is
    none."""
    preset = read_preset(path)
    keep_preset(preset)
    if bench.document.selection:
        bench.constraining.apply(preset)
    bench.tell(f"The preset {preset.name!r} is in the menu from now on.")

"""A form made of what a constraint may be given: its strength, and the settings of its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from magicgui.widgets import Container, Widget, create_widget

from deblend import Constraint
from deblend.scene import Setting, SettingValue
from napari_deblend.constraining import Line
from napari_deblend.widgets.settings import name_inputs

STRENGTH = "strength"
LARGEST = 100.0
"""Of strengths without an upper limit."""
Changed = Callable[[str, SettingValue], None]
"""Is called with the name of what was changed, and its new value; raises ValueError for one that cannot be."""


def constraint_form(line: Line, changed: Changed, tell: Callable[[str], None]) -> Container:
    """Return a form that shows a constraint; what cannot be is told, and shown as it was."""
    widgets = [_strength(line), *(_of_setting(setting, line.constraint) for setting in line.kind.info.settings)]
    form: Container = Container(widgets=widgets)
    name_inputs(form)

    def connect(widget: Widget, default: SettingValue) -> None:
        def on_change(value: Any) -> None:
            try:
                changed(widget.name, _typed(widget.name, value) if isinstance(default, tuple) else value)
            except ValueError as error:
                tell(str(error))

        value_widget: Any = widget
        value_widget.changed.connect(on_change)

    connect(widgets[0], 0.0)
    for widget, setting in zip(widgets[1:], line.kind.info.settings, strict=True):
        connect(widget, setting.default)
    return form


def show_constraint(form: Container, line: Line) -> None:
    """Show a constraint of the same kind in its form."""
    shown = {
        STRENGTH: line.constraint.strength,
        **{s.name: _shown(s, line.constraint) for s in line.kind.info.settings},
    }
    for name, value in shown.items():
        widget = form[name]
        if widget.value != value:
            with widget.changed.blocked():
                widget.value = value


def _typed(name: str, text: str) -> tuple[float, ...]:
    return numbers(text, 0.0 if name == "lower" else np.inf)


def numbers(text: str, none: float = np.inf) -> tuple[float, ...]:
    """Return numbers that were typed, with commas or blanks between them; "-" stands for `none`, no bound.

    Raises ValueError with a sentence where one is none.
    """
    words = text.replace(";", " ").replace(",", " ").split()
    try:
        return tuple(none if word in ("-", "–", "inf") else float(word) for word in words)
    except ValueError as error:
        raise ValueError(f"Numbers with commas between them are needed, one per channel, got {text!r}.") from error


def _strength(line: Line) -> Widget:
    info = line.kind.info
    options: dict[str, Any] = {"name": STRENGTH, "value": line.constraint.strength, "annotation": float}
    options["options"] = {"tooltip": f"Usually {info.strength:g}"}
    if np.isfinite(info.greatest_strength):
        slider = {"min": 0.0, "max": info.greatest_strength, "step": 0.01, "tracking": True}
        return create_widget(widget_type="FloatSlider", **{**options, "options": {**options["options"], **slider}})
    spin = {"min": 0.0, "max": LARGEST, "step": 0.05}
    return create_widget(widget_type="FloatSpinBox", **{**options, "options": {**options["options"], **spin}})


def _of_setting(setting: Setting, constraint: Constraint) -> Widget:
    options: dict[str, Any] = {"name": setting.name, "value": _shown(setting, constraint)}
    tip: dict[str, Any] = {"tooltip": setting.help}
    if setting.choices:
        return create_widget(
            annotation=str, widget_type="ComboBox", options={**tip, "choices": setting.choices}, **options
        )
    if isinstance(setting.default, tuple):
        return create_widget(annotation=str, widget_type="LineEdit", options=tip, **options)
    return create_widget(
        annotation=float, widget_type="FloatSpinBox", options={**tip, "min": 0.0, "step": 0.05}, **options
    )


def _shown(setting: Setting, constraint: Constraint) -> Any:
    value = constraint.setting(setting.name)
    return ", ".join(f"{v:g}" if np.isfinite(v) else "-" for v in value) if isinstance(value, tuple) else value

"""A form made from a dataclass of settings: what the engine can be told is what the form asks, and nothing is twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from magicgui.widgets import Container, create_widget
from qtpy.QtWidgets import QWidget

Settings = TypeVar("Settings")


def name_inputs(form: Container) -> None:
    """Give every input of a form the name that stands beside it, for who does not see it."""
    for widget in form:
        for part in (widget.native, *widget.native.findChildren(QWidget)):
            part.setAccessibleName(widget.label)


def form(settings: Settings, changed: Callable[[Settings], None]) -> Container:
    """Return a form that shows these settings and calls `changed` with new ones at every edit."""
    # with what numbers may be
    hints = get_type_hints(type(settings), include_extras=True)
    widgets = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        # a spin box would show 1e-06 as 0.00
        as_text = isinstance(value, float) and abs(value) < 0.1
        options: dict[str, Any] = {"value": f"{value:g}" if as_text else value, "name": field.name}
        options["label"] = field.name.replace("_", " ")
        widgets.append(create_widget(annotation=str if as_text else hints[field.name], **options))
    container: Container = Container()
    # one by one: magicgui aligns labels with what is added, and not with what is there from the start
    container.extend(widgets)
    name_inputs(container)
    current = settings

    def on_change() -> None:
        nonlocal current
        values = {}
        for field in dataclasses.fields(current):  # type: ignore[arg-type]
            value = container[field.name].value
            if isinstance(getattr(current, field.name), float):
                try:
                    value = float(value)
                except ValueError:
                    return
            values[field.name] = value
        try:
            current = dataclasses.replace(current, **values)  # type: ignore[type-var]
        except ValueError as error:
            container.tooltip = str(error)
            return
        changed(current)

    container.changed.connect(on_change)
    return container

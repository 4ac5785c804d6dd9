"""What a person believes of a number: said below the table, drawn beside the posterior, kept in a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QComboBox, QLineEdit

from deblend import BlackBody, Channel, Color, LogNormal, Normal, SizeMagnitude, Uniform, make_source
from deblend.io import read_session
from deblend.scene import Prior
from napari_deblend.actions import perform
from napari_deblend.drawing import DrawKind, DrawPhase, DrawSettings
from napari_deblend.parameter_lines import groups_of
from napari_deblend.prior_lines import NONE, changed, kind_of, new_prior, settings_of, text_of
from napari_deblend.widgets.parameter_table import PRIOR

CHANNELS = (Channel("HSC", "g"), Channel("HSC", "r"))


def test_every_kind_of_prior_can_be_said_of_a_number_and_read_back() -> None:
    source = make_source("sersic", 10.0, 12.0, n_channels=2, flux=(30.0, 50.0), half_light_radius=3.0, law=None)
    lines = {line.key: line for group in groups_of(source, CHANNELS, (10.0, 12.0), None) for line in group.lines}
    believing = {key for key, line in lines.items() if line.prior is not None}
    assert believing == {"0.index", "0.half_light_radius", "0.flux.0", "0.flux.1"}
    seen: set[type] = set()
    for key in sorted(believing):
        line, place = lines[key], lines[key].prior
        assert place is not None
        for kind in place.kinds:
            prior = new_prior(kind, line.value, place, source.components[0])
            assert prior is not None and kind_of(prior) == kind
            told = place.put(source, prior)
            assert place.get(told) == prior and place.get(place.put(told, None)) is None
            assert text_of(prior, CHANNELS) != NONE
            name, value = next((n, v) for n, v in settings_of(prior).items() if n not in ("channel", "other"))
            assert settings_of(changed(prior, name, 1.125 * value))[name] == pytest.approx(1.125 * value)
            seen.add(type(prior))
    assert seen == {Normal, LogNormal, Uniform, SizeMagnitude, Color}
    color = new_prior("color", 30.0, lines["0.flux.0"].prior, source.components[0])  # type: ignore[arg-type]
    assert color == Color(1, pytest.approx(2.5 * np.log10(50 / 30), abs=0.01), 0.1)
    hot = make_source("point", 1.0, 2.0, n_channels=2, flux=(1.0, 1.0), law=BlackBody())
    temperature = next(
        line for g in groups_of(hot, CHANNELS, (1.0, 2.0), None) for line in g.lines if line.key == "0.temperature"
    )
    assert temperature.prior is not None and temperature.prior.kinds == ("normal",)
    law = temperature.prior.put(hot, Normal(5000.0, 100.0)).law
    assert law is not None and law.priors["temperature"] == Normal(5000.0, 100.0)


def choose(combo: QComboBox, text: str) -> None:
    combo.setCurrentText(text)
    combo.activated.emit(combo.currentIndex())


def typed(field: Any, text: str) -> None:
    assert isinstance(field, QLineEdit)
    field.setText(text)
    field.setModified(True)
    field.editingFinished.emit()


@pytest.mark.gui
def test_a_prior_is_set_in_the_table_and_seen_beside_the_draws(
    opened: Any, wait: Callable[..., None], settle: Callable[[Any], None], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path / "kept"))
    document, sureness = opened.document, opened.sureness
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    source = document.scene.sources[1]
    document.select([source.id])
    perform(opened, "show_parameters")
    table = widget.parameters
    wait(table.view.isVisible)
    index = table.model.index_of("0.flux.1", PRIOR)
    assert index.data() == NONE
    table.view.setCurrentIndex(index)
    form = table.prior
    wait(form.isVisible)
    flux, error = float(source.flux[1]), 3.5 / 2.355 * np.sqrt(4 * np.pi)
    choose(form.kind, "normal")
    typed(form.fields["mean"], f"{flux + 3 * error:.6g}")
    typed(form.fields["deviation"], f"{0.5 * error:.6g}")

    def prior() -> Prior | None:
        found: Prior | None = document.scene[source.id].components[0].spectrum.prior(1)
        return found

    said = prior()
    assert isinstance(said, Normal) and said.deviation == pytest.approx(0.5 * error, rel=1e-4)
    wait(lambda: table.model.index_of("0.flux.1", PRIOR).data() == text_of(said, document.scene.channels))
    told: list[str] = []
    opened.told.connect(told.append)
    typed(form.fields["deviation"], "-2")
    assert "above 0" in told[-1] and prior() == said
    assert document.undo_label == "Prior of the r of source 2"
    settle(opened)
    # prior and data together: between both, and known better than by either
    sureness.settings = DrawSettings(draws=40, seed=2)
    perform(opened, "draw_or_pause")
    wait(lambda: sureness.phase is DrawPhase.DONE and sureness.drawn.n_done == 40)
    drawn = sureness.drawn.quantities["flux_HSC_r"][:, 1]
    assert flux + error < np.mean(drawn) < flux + 3 * error
    assert np.std(drawn) < 0.75 * error
    perform(opened, "show_sureness")
    panel = widget.sureness
    label = next(name for name in panel._numbers(sureness.drawn) if name.startswith("flux_HSC_r"))
    wait(lambda: label in panel._believed)
    grid = np.linspace(said.mean - 6 * said.deviation, said.mean + 6 * said.deviation, 400)
    density = panel._believed[label](grid)
    assert np.sum(density) * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-3)
    assert grid[np.argmax(density)] == pytest.approx(said.mean, abs=0.1 * said.deviation)
    # and both are there again when the work is opened
    opened.keeper.save(tmp_path / "work.asdf")
    wait(lambda: opened.keeper.is_saved)
    kept = read_session(tmp_path / "work.asdf").draws
    assert kept is not None and len(kept) == 40
    np.testing.assert_array_equal(kept.quantities["flux_HSC_r"][:, 1], drawn)
    heading = sureness.heading
    opened.keeper.open(tmp_path / "work.asdf")
    wait(lambda: sureness.drawn is not None and sureness.phase is None)
    assert sureness.heading == heading and not sureness.is_stale
    np.testing.assert_array_equal(sureness.drawn.quantities["flux_HSC_r"][:, 1], drawn)
    with pytest.raises(ValueError, match="draw again"):
        sureness.show(DrawKind.MEAN)

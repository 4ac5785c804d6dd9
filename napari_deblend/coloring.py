"""Bounds on colors of the selected source: set, dragged and taken away where its fluxes are plotted.

They are the constraint "Colors within bounds" of the component whose constraints are listed: ratios of its fluxes to
that of a reference channel. Every change is one step of the document, a drag as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from deblend import Component, Constraint, ConstraintKind
from deblend.scene import SettingValue

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

KIND = ConstraintKind.COLOR_BOUNDS
LOOSE = 1.25
"""By what factor a color may be off its present value at first, either way."""
LOWER, UPPER = 0, 1


@dataclass(frozen=True, eq=False)
class ColorBounds:
    """What is asked of the colors of a component."""

    reference: int
    """Number of the channel that ratios are relative to."""
    ratios: Float[np.ndarray, "2 channel"]
    """Least and largest ratio; 0 and infinite for none."""
    flux: float
    """Of the component in the reference channel [nJy]."""
    active: bool

    @classmethod
    def of(cls, component: Component) -> ColorBounds:
        """Return what is asked of a component, or would be where it is switched on."""
        constraint = component.morphology.constraint(KIND) or Constraint(KIND, active=False)
        flux = component.spectrum.value
        reference = int(constraint.setting("reference"))  # type: ignore[arg-type]
        given = [constraint.setting(name) for name in ("lower", "upper")]
        ratios = np.stack(
            [
                np.asarray(g, float) if g and len(g) == len(flux) else np.full(len(flux), none)  # type: ignore[arg-type]
                for g, none in zip(given, (0.0, np.inf), strict=True)
            ]
        )
        return cls(reference, ratios, float(flux[reference]), constraint.active)

    @property
    def fluxes(self) -> Float[np.ndarray, "2 channel"]:
        """The bounds as fluxes, where the component is as bright in the reference channel as it is now [nJy]."""
        return self.ratios * max(self.flux, 0.0) if self.flux > 0 else np.full_like(self.ratios, np.nan)

    def is_bound(self, channel: int) -> bool:
        """Tell whether anything is asked of a channel."""
        least, most = self.ratios[:, channel]
        return channel != self.reference and bool(least > 0 or np.isfinite(most))


class Coloring:
    """Edits color bounds of the selected sources of one workbench."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @property
    def bounds(self) -> ColorBounds | None:
        """Those of the component whose constraints are listed; None where none is."""
        component = self._bench.constraining.component if self._bench.document.is_open else None
        return None if component is None or not component.is_solved else ColorBounds.of(component)

    def toggle(self) -> None:
        """Ask for colors near the present ones, or for any; bounds that there were are asked again.

        Raises ValueError where that cannot be.
        """
        bounds = self._known()
        n = bounds.ratios.shape[1]
        if n < 2:
            raise ValueError("A color needs two bands; the images have one.")
        if bounds.active:
            self._bench.constraining.switch(KIND, False)
        elif any(bounds.is_bound(k) for k in range(n)):
            self._bench.constraining.switch(KIND, True)
        else:
            self._set(bounds.reference, self._about(bounds.reference))

    def toggle_channel(self, channel: int) -> None:
        """Bound the color of one channel near its present value, or no longer; raises ValueError where that cannot
        be."""
        bounds = self._known()
        if channel == bounds.reference:
            raise ValueError("Colors are relative to this band; bound another one, or choose another reference.")
        ratios = bounds.ratios.copy()
        if not bounds.active:
            ratios[LOWER], ratios[UPPER] = 0.0, np.inf
        is_bound = bounds.active and bounds.is_bound(channel)
        ratios[:, channel] = (0.0, np.inf) if is_bound else self._about(bounds.reference)[:, channel]
        n = ratios.shape[1]
        if not any(k != bounds.reference and (ratios[LOWER, k] > 0 or np.isfinite(ratios[UPPER, k])) for k in range(n)):
            with self._bench.document.gesture("Let colors be what they are"):
                self._set(bounds.reference, ratios)
                self._bench.constraining.switch(KIND, False)
            return
        self._set(bounds.reference, ratios)

    def refer_to(self, channel: int) -> None:
        """Have ratios be relative to another channel; the bounds then lie where they are as fluxes."""
        bounds = self._known()
        if channel == bounds.reference:
            return
        flux = self._fluxes()[channel]
        if not flux > 0:
            raise ValueError("The source has no light in this band, and no color can be relative to it.")
        ratios = bounds.ratios * bounds.flux / flux
        # what the old reference is allowed is what the new one was
        with np.errstate(divide="ignore"):
            ratios[:, bounds.reference] = 1.0 / bounds.ratios[::-1, channel]
        ratios[LOWER, channel], ratios[UPPER, channel] = 0.0, np.inf
        self._set(channel, ratios)

    def begin(self) -> None:
        """Start a drag: what follows until `end` is one step."""
        self._bench.document.begin("Drag a color bound")

    def drag(self, side: int, channel: int, flux: float) -> None:
        """Put the lower (0) or upper (1) bound of a channel at a flux [nJy]; it does not pass the other one."""
        bounds = self._known()
        ratio = max(flux, 0.0) / bounds.flux
        ratios = bounds.ratios.copy()
        ratios[side, channel] = (
            min(ratio, ratios[UPPER, channel]) if side == LOWER else max(ratio, ratios[LOWER, channel])
        )
        self._set(bounds.reference, ratios)

    def end(self) -> None:
        """Finish a drag."""
        self._bench.document.commit()

    def _known(self) -> ColorBounds:
        bounds = self.bounds
        if bounds is None:
            raise ValueError("No source is selected; click its marker or its row first.")
        if not bounds.flux > 0:
            raise ValueError(
                "The source has no light in the reference band, and so no color; choose another reference."
            )
        return bounds

    def _fluxes(self) -> np.ndarray:
        component = self._bench.constraining.component
        assert component is not None
        return component.spectrum.value

    def _about(self, reference: int) -> Float[np.ndarray, "2 channel"]:
        """Return bounds around the present colors; of bands without light there are none."""
        flux = self._fluxes()
        ratios = np.where(flux > 0, flux / flux[reference], np.nan)
        about = np.stack([ratios / LOOSE, ratios * LOOSE])
        about[:, reference] = (0.0, np.inf)
        return np.where(np.isnan(about), np.array([[0.0], [np.inf]]), about)

    def _set(self, reference: int, ratios: Float[np.ndarray, "2 channel"]) -> None:
        settings: dict[str, SettingValue] = {
            "reference": float(reference),
            "lower": tuple(map(float, ratios[LOWER])),
            "upper": tuple(map(float, ratios[UPPER])),
        }
        self._bench.constraining.set_settings(KIND, settings)


def bound_colors(bench: Workbench) -> None:
    """Bound the colors of the selected sources near their present ones, or no longer."""
    bench.coloring.toggle()

"""Morphologies, as said by a person: how the light of a component is spread over the sky.

Sizes are in pixels of the scene's grid, before any PSF. Ellipticity is the conformal shear (η1, η2): the axis
ratio is exp(-|η|), the major axis lies at ½ atan2(η2, η1) counter-clockwise from x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from deblend.scene.constraint import Constraint
from deblend.scene.constraint_kind import ACTING_ORDER, ConstraintKind, Target, acting_order
from deblend.scene.parameter import Parameter


def round_ellipticity() -> Parameter:
    """Return the conformal shear of a round source."""
    return Parameter(np.zeros(2), lower=-3.0, upper=3.0)


def sized(half_light_radius: float, least: float = 0.3) -> Parameter:
    """Return a half-light radius [pix] with bounds."""
    return Parameter(half_light_radius, lower=least, upper=200.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Morphology:
    """What every morphology has: free parameters by name, and constraints."""

    label: ClassVar[str]
    """What a person calls it."""
    has_pixels: ClassVar[bool] = False
    """Whether pixels of its own are the light, or correct it."""
    constraints: tuple[Constraint, ...] = ()
    """Those that act one after another (`ACTING_ORDER`) do so in the order of the tuple."""

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Any:
        """Return a round morphology of about this half-light radius [pix] in a box of this radius [pix].

        `scale` is the unit of the widths of a profile that is a sum of Gaussians.
        """
        return cls()

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name, in a fixed order."""
        return {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Parameter)}

    def with_parameters(self, **parameters: Parameter) -> Any:
        """Return this morphology with some parameters replaced."""
        return replace(self, **parameters)  # type: ignore[arg-type]

    def constraint(self, kind: ConstraintKind) -> Constraint | None:
        """Return the constraint of that kind where the morphology has it."""
        return next((c for c in self.constraints if c.kind is kind), None)

    def takes(self, kind: ConstraintKind) -> bool:
        """Whether a constraint of that kind means anything here: without pixels only such on the spectrum do."""
        return kind.info.target is Target.SPECTRUM

    def with_constraint(self, constraint: Constraint) -> Any:
        """Return this morphology with the constraint of the same kind replaced in its place, or added at its usual one
        among those that act one after another."""
        kinds = [c.kind for c in self.constraints]
        if constraint.kind in kinds:
            changed = tuple(constraint if c.kind is constraint.kind else c for c in self.constraints)
            return replace(self, constraints=changed)
        order = acting_order(kinds)
        after = order[order.index(constraint.kind) :] if constraint.kind in order else ()
        place = next((k for k, kind in enumerate(kinds) if kind in after), len(kinds))
        return replace(self, constraints=(*self.constraints[:place], constraint, *self.constraints[place:]))

    def with_acting_order(self, order: Sequence[ConstraintKind]) -> Any:
        """Return this morphology with those constraints that act one after another doing so in another order; it names
        each of them."""
        acting = iter(
            sorted((c for c in self.constraints if c.kind in ACTING_ORDER), key=lambda c: order.index(c.kind))
        )
        return replace(self, constraints=tuple(next(acting) if c.kind in ACTING_ORDER else c for c in self.constraints))

    @property
    def half_light_radius_guess(self) -> float:
        """About how far half of the light reaches [pix], without rendering."""
        return 0.0

    @property
    def has_size(self) -> bool:
        """Whether there is a number that says how large it is."""
        return "half_light_radius" in self.parameters or hasattr(self, "scale")

    def with_half_light_radius(self, size: float) -> Any:
        """Return this morphology as large as a person wants it [pix], within its bounds.

        Raises ValueError where no number says how large it is, and LockedParameterError where that is locked.
        """
        own, scale = self.parameters.get("half_light_radius"), getattr(self, "scale", None)
        if own is not None:
            return self.with_parameters(half_light_radius=own.edited(size))
        if scale is None or not size > 0:
            raise ValueError(f"No number says how large {self.label} light is; change the kind of the source.")
        return replace(self, scale=scale * size / self.half_light_radius_guess)  # type: ignore[call-arg]

    def resized(self, radius: int) -> Any:
        """Return this morphology for a box of another `radius` [pix]; only pixels change."""
        return self


@dataclass(frozen=True, eq=False, kw_only=True)
class Point(Morphology):
    """A star: all light in one point."""

    label: ClassVar[str] = "point"


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaussian(Morphology):
    """An elliptical Gaussian of total flux 1."""

    label: ClassVar[str] = "gaussian"
    half_light_radius: Parameter = field(default_factory=lambda: sized(2.0, 0.05))
    ellipticity: Parameter = field(default_factory=round_ellipticity)

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Gaussian:
        return cls(half_light_radius=sized(half_light_radius))

    @property
    def half_light_radius_guess(self) -> float:
        return float(self.half_light_radius.value)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sersic(Morphology):
    """A Sérsic (1963) profile of total flux 1: surface brightness falls as exp(-b_n (r/r_e)^(1/n))."""

    label: ClassVar[str] = "sersic"
    index: Parameter = field(default_factory=lambda: Parameter(1.0, lower=0.5, upper=4.0))
    half_light_radius: Parameter = field(default_factory=lambda: sized(2.0))
    ellipticity: Parameter = field(default_factory=round_ellipticity)

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Sersic:
        return cls(half_light_radius=sized(half_light_radius))

    @property
    def half_light_radius_guess(self) -> float:
        return float(self.half_light_radius.value)


@dataclass(frozen=True, eq=False, kw_only=True)
class FreeForm(Morphology):
    """One free number per pixel, before the telescope's PSF, with a free sub-pixel center."""

    label: ClassVar[str] = "free-form"
    has_pixels: ClassVar[bool] = True
    pixels: Parameter
    """Light per pixel, (y, x), on a box centered on the source."""
    constraints: tuple[Constraint, ...] = (
        Constraint(ConstraintKind.POSITIVITY),
        Constraint(ConstraintKind.SYMMETRY, 0.5),
        Constraint(ConstraintKind.MONOTONICITY, 0.03),
    )

    def takes(self, kind: ConstraintKind) -> bool:
        return kind is not ConstraintKind.CORRECTION

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> FreeForm:
        return cls.of_size(half_light_radius, radius)

    @classmethod
    def of_size(cls, half_light_radius: float, radius: int) -> FreeForm:
        """Return a round exponential-like start of this half-light radius [pix] in a box of this radius [pix].

        It is a picture before the PSF (blurred by the model PSF only), not a cut of the observed image.
        """
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        softened = np.hypot(np.hypot(y, x), 0.8)
        pixels = np.exp(-softened / max(half_light_radius / 1.678, 0.6))
        return cls(pixels=Parameter(pixels / pixels.sum()))

    @property
    def half_light_radius_guess(self) -> float:
        pixels = np.clip(self.pixels.value, 0, None)
        radius = pixels.shape[0] // 2
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        return float(0.8 * np.sqrt((pixels * (y**2 + x**2)).sum() / max(pixels.sum(), 1e-30)))

    def resized(self, radius: int) -> FreeForm:
        return replace(self, pixels=self.pixels.at(fit_box(self.pixels.value, radius)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Starlet(FreeForm):
    """Pixels that are few structures: free-form light, sparse in starlets.

    Isotropic undecimated wavelets (Starck, Fadili & Murtagh 2007) have as many coefficients per scale as there are
    pixels. They are asked to be sparse, in the analysis form, and light to be positive; neither symmetric nor
    monotonic.
    """

    label: ClassVar[str] = "starlet"
    constraints: tuple[Constraint, ...] = (
        Constraint(ConstraintKind.POSITIVITY),
        Constraint(ConstraintKind.STARLET_SPARSITY, 0.3),
    )


def fit_box(pixels: Float[np.ndarray, "y x"], radius: int) -> Float[np.ndarray, "side side"]:
    """Return a centered picture cut or zero-padded to a box of `radius` [pix]."""
    old = pixels.shape[0] // 2
    keep = min(old, radius)
    result = np.zeros((2 * radius + 1, 2 * radius + 1))
    inner = slice(radius - keep, radius + keep + 1)
    outer = slice(old - keep, old + keep + 1)
    result[inner, inner] = pixels[outer, outer]
    return result


__all__ = [
    "FreeForm",
    "Gaussian",
    "Morphology",
    "Point",
    "Sersic",
    "Starlet",
    "fit_box",
    "round_ellipticity",
    "sized",
]

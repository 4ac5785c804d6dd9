"""Morphologies of a person's own, as said: which parameters they have, and where these start.

The mathematics of one is an object that a person makes, of any class; `deblend.register_morphology` takes it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from deblend.scene.morphology import Morphology
from deblend.scene.parameter import Parameter

ANY_HALF_LIGHT_RADIUS = 2.0
"""What is guessed for a morphology without a parameter that is a size [pix]."""
RESERVED = frozenset({"center", "scale", "pixels", "amplitudes", "correction", "flux", "spectrum"})
"""Names that mean something else in a scene."""


@dataclass(frozen=True, eq=False)
class OwnParameter:
    """A parameter of a morphology of a person's own: a number, or several."""

    value: Any
    """Where it starts; for a size, that of a source of half-light radius 1."""
    lower: float = -np.inf
    upper: float = np.inf
    scatter: float | None = None
    """Standard deviation of the Gaussian prior around the start, of the logarithm where it is `logarithmic`; None for
    no prior."""
    logarithmic: bool = False
    """Whether it is positive and the fit sees its logarithm."""
    is_size: bool = False
    """Whether it is a length [pix] that starts in proportion to the half-light radius of a source."""
    of_size: Callable[[float], Any] | None = None
    """Where it starts for a source of a half-light radius [pix], where it is no length and yet depends on that."""
    step: float = 0.4
    """Furthest that a step of the fit believes the picture to follow its derivative, of the logarithm where it is
    `logarithmic`."""

    def start(self, half_light_radius: float) -> Parameter:
        """Return the parameter of a source of this half-light radius [pix]."""
        start = self.value if self.of_size is None else self.of_size(half_light_radius)
        value = np.asarray(start, float) * (half_light_radius if self.is_size else 1.0)
        return Parameter(np.clip(value, self.lower, self.upper), lower=self.lower, upper=self.upper)


class OwnMorphology(Morphology):
    """What morphologies of a person's own have in common; each is a subclass of it, made by `own_type`."""

    own_parameters: ClassVar[Mapping[str, OwnParameter]]

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Any:
        values: dict[str, Any] = {name: own.start(half_light_radius) for name, own in cls.own_parameters.items()}
        return cls(**values)

    @property
    def half_light_radius_guess(self) -> float:
        for name, own in self.own_parameters.items():
            if own.is_size:
                return float(np.mean(self.parameters[name].value / np.asarray(own.value, float)))
        return ANY_HALF_LIGHT_RADIUS

    @property
    def has_size(self) -> bool:
        return any(own.is_size for own in self.own_parameters.values())

    def with_half_light_radius(self, size: float) -> Any:
        if not self.has_size:
            return super().with_half_light_radius(size)
        factor, now = size / self.half_light_radius_guess, self.parameters
        sizes = [name for name, own in self.own_parameters.items() if own.is_size]
        return self.with_parameters(**{name: now[name].edited(now[name].value * factor) for name in sizes})


def own_type(label: str, parameters: Mapping[str, OwnParameter], description: str = "") -> type[OwnMorphology]:
    """Return the class of morphologies of a person's own, with its parameters as fields.

    Raises ValueError where a name or a starting value cannot be.
    """
    for name, own in parameters.items():
        where = f"Morphology {label!r}: parameter {name!r}"
        if not name.isidentifier() or name in RESERVED or hasattr(Morphology, name) or name.startswith("own_"):
            raise ValueError(f"{where} has a name that cannot be used; choose another one.")
        value = np.asarray(own.value, float)
        if value.ndim > 1 or not value.size or not np.all(np.isfinite(value)):
            raise ValueError(f"{where} starts at {own.value}; it has to be a finite number, or a list of such.")
        if not np.all((value >= own.lower) & (value <= own.upper)) and not own.is_size:
            raise ValueError(f"{where} starts at {own.value}, out of its bounds {own.lower:g} to {own.upper:g}.")
        if (own.logarithmic or own.is_size) and not np.all(value > 0):
            raise ValueError(f"{where} starts at {own.value}; what is a size or has a logarithm starts above 0.")
        if own.scatter is not None and not own.scatter > 0:
            raise ValueError(f"{where} has a prior scatter of {own.scatter:g}; it has to be above 0, or None.")
        if not own.step > 0:
            raise ValueError(f"{where} has a step of {own.step:g}; it has to be above 0.")
    fields = [
        (name, Parameter, field(default_factory=partial(own.start, ANY_HALF_LIGHT_RADIUS), kw_only=True))
        for name, own in parameters.items()
    ]
    namespace = {"label": label, "own_parameters": dict(parameters), "__doc__": description or f"Of a person: {label}."}
    name = "".join(word.capitalize() for word in label.replace("-", " ").split() if word.isidentifier()) or "Own"
    return make_dataclass(name, fields, bases=(OwnMorphology,), namespace=namespace, frozen=True, eq=False)

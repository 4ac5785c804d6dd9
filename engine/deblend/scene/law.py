"""Laws of spectra, as said by a person: how the light of a component goes with wavelength, but for its amplitude.

The fluxes of a component with a law are its mean flux densities in the passbands, times one amplitude that is always
fitted. Wavelengths are those that are observed, in vacuum [Å]; spectra are flux densities per frequency, f_ν.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from deblend.scene.parameter import Parameter, Status
from deblend.scene.prior import Normal

PIVOT = 5500.0
"""Where spectra without a place of their own are one [Å]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Law:
    """What every law has: parameters by name, and priors of some of them."""

    label: ClassVar[str]
    """What a person calls it."""
    logarithms: ClassVar[Mapping[str, float]] = MappingProxyType({})
    """Parameters of which the fit moves the logarithm, after this was added to them."""
    priors: Mapping[str, Normal] = field(default_factory=dict)
    """Gaussian priors by the name of the parameter."""

    def __post_init__(self) -> None:
        for name, prior in self.priors.items():
            if name not in self.parameters:
                raise ValueError(
                    f"A {self.label} has no {name!r} to have a prior; choose of {', '.join(self.parameters)}."
                )
            if not Normal(*prior).deviation > 0:
                raise ValueError(f"The prior of {name} needs a positive standard deviation, got {prior[1]}.")
        for name, parameter in self.parameters.items():
            value = parameter.value
            if parameter.has_priors:
                raise ValueError(f"The prior of the {name} of a {self.label} belongs into the `priors` of the law.")
            if np.any(value < parameter.lower) or np.any(value > parameter.upper) or not np.all(np.isfinite(value)):
                raise ValueError(
                    f"The {name} of a {self.label} is {value}, not between its bounds {parameter.lower} and "
                    f"{parameter.upper}."
                )

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name, in a fixed order."""
        return {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Parameter)}

    def with_parameters(self, **parameters: Parameter) -> Any:
        """Return this law with some parameters replaced."""
        return replace(self, **parameters)  # type: ignore[arg-type]

    def with_status(self, status: Status) -> Any:
        """Return this law with every parameter free, fixed or locked."""
        return self.with_parameters(**{name: p.with_status(status) for name, p in self.parameters.items()})


def _slope(value: float) -> Parameter:
    return Parameter(value, lower=-12.0, upper=12.0)


def _redshift(value: float, status: Status = Status.FREE) -> Parameter:
    return Parameter(value, status, lower=0.0, upper=12.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class PowerLaw(Law):
    """f_λ ∝ λ^slope; -2 has the same AB magnitude in all bands."""

    label: ClassVar[str] = "power law"
    slope: Parameter = field(default_factory=lambda: _slope(-2.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class BlackBody(Law):
    """Planck's law."""

    label: ClassVar[str] = "black body"
    logarithms: ClassVar[Mapping[str, float]] = MappingProxyType({"temperature": 0.0})
    temperature: Parameter = field(default_factory=lambda: Parameter(6000.0, lower=300.0, upper=2e5))
    """[K], as observed: of a source at redshift z it is (1 + z) times higher there."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Break(Law):
    """Two power laws, f_λ ∝ λ^slope, with a jump between them, as that at 4000 Å or at Lyman α."""

    label: ClassVar[str] = "break"
    logarithms: ClassVar[Mapping[str, float]] = MappingProxyType({"wavelength": 0.0, "ratio": 0.0})
    wavelength: Parameter
    """Where it is seen [Å]."""
    ratio: Parameter = field(default_factory=lambda: Parameter(2.0, lower=1e-3, upper=1e3))
    """How much brighter it is right behind the break than before it, towards red."""
    blue_slope: Parameter = field(default_factory=lambda: _slope(-2.0).with_status(Status.FIXED))
    red_slope: Parameter = field(default_factory=lambda: _slope(-2.0).with_status(Status.FIXED))

    @classmethod
    def at(cls, wavelength: float, **fields: Any) -> Break:
        """Return a break near this wavelength [Å], to be fitted within a factor of two."""
        return cls(wavelength=Parameter(wavelength, lower=0.5 * wavelength, upper=2.0 * wavelength), **fields)


@dataclass(frozen=True, eq=False, kw_only=True)
class EmissionLine(Law):
    """A Gaussian line in f_λ and nothing else; continua are components of their own."""

    label: ClassVar[str] = "emission line"
    logarithms: ClassVar[Mapping[str, float]] = MappingProxyType({"wavelength": 0.0, "width": 0.0, "redshift": 1.0})
    wavelength: Parameter
    """At rest [Å]."""
    width: Parameter = field(default_factory=lambda: Parameter(10.0, Status.FIXED, lower=0.01, upper=1e4))
    """Standard deviation as observed [Å]."""
    redshift: Parameter = field(default_factory=lambda: _redshift(0.0, Status.FIXED))

    @classmethod
    def at(cls, wavelength: float, redshift: float = 0.0, **fields: Any) -> EmissionLine:
        """Return a line of a fixed wavelength at rest [Å], at a redshift that is fixed, too."""
        rest = Parameter(wavelength, Status.FIXED, lower=0.0)
        return cls(wavelength=rest, redshift=_redshift(redshift, Status.FIXED), **fields)


@dataclass(frozen=True, eq=False, kw_only=True)
class Template(Law):
    """Spectra of a person's own, mixed and redshifted; linear between their points."""

    label: ClassVar[str] = "template"
    logarithms: ClassVar[Mapping[str, float]] = MappingProxyType({"redshift": 1.0})
    wavelengths: Float[np.ndarray, " point"]
    """At rest, ascending [Å]."""
    spectra: Float[np.ndarray, "template point"]
    """f_ν in any unit."""
    redshift: Parameter = field(default_factory=lambda: _redshift(0.0))
    shares: Parameter = field(default_factory=lambda: Parameter([1.0], Status.FIXED, lower=0.0))
    """How much of each spectrum, scaled to the mean 1, is in the mixture; only their ratios matter."""
    origin: str = "given"
    """Where it is from."""

    @classmethod
    def of(
        cls,
        wavelengths: Sequence[float] | np.ndarray,
        spectra: Any,
        *,
        redshift: Parameter | float = 0.0,
        per: str = "wavelength",
        **fields: Any,
    ) -> Template:
        """Return a law of one spectrum (point,) or several (template, point), in any unit per "wavelength" (f_λ) or
        "frequency" (f_ν); the redshift is free where it is a number, and so are the shares of several spectra.

        Raises ValueError where the numbers make no spectrum.
        """
        at, values = np.asarray(wavelengths, np.float64), np.atleast_2d(np.asarray(spectra, np.float64))
        if at.ndim != 1 or len(at) < 2 or values.shape[1:] != at.shape:
            raise ValueError(f"A template needs a value per wavelength: expected {at.shape}, got {values.shape[1:]}.")
        if not (np.all(np.diff(at) > 0) and at[0] > 0):
            raise ValueError("The wavelengths of a template have to be positive and to rise.")
        if per not in ("wavelength", "frequency"):
            raise ValueError(f"A template is per 'wavelength' (f_λ) or per 'frequency' (f_ν), not {per!r}.")
        values = values * (at / PIVOT) ** 2 if per == "wavelength" else values
        means = np.trapezoid(values, np.log(at), axis=1) / np.log(at[-1] / at[0])
        if not np.all(np.isfinite(values)) or not np.all(means > 0):
            raise ValueError("A template has to be finite, and positive in the mean.")
        n = len(values)
        fields.setdefault("shares", Parameter(np.full(n, 1 / n), Status.FREE if n > 1 else Status.FIXED, lower=0.0))
        where = redshift if isinstance(redshift, Parameter) else _redshift(redshift)
        return cls(wavelengths=at, spectra=values / means[:, None], redshift=where, **fields)


@dataclass(frozen=True, eq=False, kw_only=True)
class CustomLaw(Law):
    """A law of a person's own: any function of wavelengths [Å] that returns f_ν in any unit.

    It is called with NumPy, as `function(wavelengths, **values)`, and has to be smooth in its parameters; its
    derivatives are taken by differences.
    """

    label: ClassVar[str] = "law of one's own"
    function: Callable[..., Float[np.ndarray, " wavelength"]]
    own: Mapping[str, Parameter] = field(default_factory=dict)
    """Its parameters by name."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        return dict(self.own)

    def with_parameters(self, **parameters: Parameter) -> CustomLaw:
        return replace(self, own={**self.own, **parameters})

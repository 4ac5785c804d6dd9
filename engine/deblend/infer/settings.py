"""What a person may set about a fit, with defaults that work without reading."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Solver(Enum):
    """How a fit goes downhill."""

    GAUSS_NEWTON = "gauss-newton"
    """Second order; finishes in few steps."""
    PROXIMAL_GRADIENT = "proximal-gradient"
    """First order; cheap steps, slow to finish; the reference."""
    FISTA = "fista"
    """First order with momentum, which starts anew where it points uphill."""
    ADAPROX = "adaprox"
    """First order, each number at a pace that it learns from its gradients."""
    LBFGSB = "l-bfgs-b"
    """Learns curvature from gradients; SciPy's."""
    ADAM = "adam"
    """First order, as optax has it; takes a loss of a person's own."""
    YOGI = "yogi"
    """The same with a pace that falls more carefully."""


class Scheme(Enum):
    """How the adaptive solver learns its pace from gradients."""

    ADAM = "adam"
    AMSGRAD = "amsgrad"
    PADAM = "padam"
    RADAM = "radam"


class StopRule(Enum):
    """When a fit has done what it was asked for."""

    AT_REST = "at rest"
    """No flux and no center moves any more by what matters."""
    ROUGH = "rough"
    """The loss hardly falls any more: for a first look, and for fits that others follow."""


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit."""

    solver: Solver = Solver.GAUSS_NEWTON
    max_iterations: int = 60
    """A fit that has not converged by then stops and says so."""
    tolerance: float = 1e-3
    """A fit has converged when two steps in a row lower the loss by less than this fraction, and by less than one per
    source, and move no flux by more than 2 % or the error of a star. The loss counts noise, so that none of it depends
    on units."""
    stop: StopRule = StopRule.AT_REST
    """When to stop; a rough fit ends where two steps in a row lower the loss by less than half a percent."""
    inner_iterations: int = 14
    """Conjugate-gradient iterations in a step of the Gauss-Newton solver, or steps of the others in one iteration."""
    grow_boxes: bool = True
    """Whether the box of a free source with a profile becomes larger where it cuts light off."""
    compile_larger: bool = True
    """Whether it does so, where a fit would end, also beyond what is compiled; then the fit goes on in larger boxes.
    Learned galaxies stay within."""
    shrink_boxes: bool = False
    """Whether it becomes smaller where there is none at its edge."""
    scheme: Scheme = Scheme.AMSGRAD
    """Of the adaptive solver."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "solver", Solver(self.solver))
        object.__setattr__(self, "scheme", Scheme(self.scheme))
        object.__setattr__(self, "stop", StopRule(self.stop))
        if self.max_iterations < 0:
            raise ValueError(f"max_iterations must not be negative, got {self.max_iterations}.")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive, got {self.tolerance}.")
        if self.inner_iterations < 1:
            raise ValueError(f"inner_iterations must be at least 1, got {self.inner_iterations}.")


class Outcome(Enum):
    """How a fit stands; the value is the sentence to show."""

    RUNNING = "Fitting."
    CONVERGED = "The fit has converged."
    ROUGHLY = "The fit hardly lowers chi2 any more, and stopped there as it was asked to."
    STOPPED_AT_LIMIT = "The fit stopped at its limit of iterations before it converged; run it on, or raise the limit."
    STUCK = "No step lowers the loss any further; the fit is as good as it gets with this solver."
    DIVERGED = "The fit met an undefined value; the best state before it is kept. Check weights and PSF."
    UNDEFINED = (
        "A morphology of your own has no finite value or derivative at a place that the fit came to; the best state "
        "before it is kept. Guard its roots, powers and divisions, or give its parameters bounds."
    )
    EMPTY = "The scene has no sources; place one or detect them."

    @property
    def is_final(self) -> bool:
        return self is not Outcome.RUNNING

    @property
    def is_success(self) -> bool:
        return self in (Outcome.CONVERGED, Outcome.ROUGHLY, Outcome.STUCK, Outcome.EMPTY)

"""Ways to make draws from a posterior, one interface: made ready once, then one draw after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from deblend.infer.diagnosis import Diagnosis
from deblend.infer.noise_solver import NoiseSolver
from deblend.infer.nuts import Chains
from deblend.infer.refits import Refits
from deblend.infer.solvers import as_numpy
from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.program.asked import is_asked
from deblend.program.laws import Laws
from deblend.scene import Scene

if TYPE_CHECKING:
    from deblend.priors import AbstractPrior


def never() -> bool:
    """Return that nobody asks for an end."""
    return False


class Method(Enum):
    """How draws are made; the value is what a person calls it."""

    GAUSSIAN = "gaussian"
    """The Gaussian that the Gauss-Newton matrix of the fit stands for; fluxes may be negative, so that upper limits can
    be told."""
    RTO = "rto"
    """Randomise, then optimise: fits of perturbed data and priors, within all bounds."""
    NUTS = "nuts"
    """Chains that walk through the posterior itself, within all bounds, for scenes of profiles."""
    DIFFUSION = "diffusion"
    """Pictures of all galaxies under a learned prior, with spectra, by the reverse of diffusion."""

    @property
    def label(self) -> str:
        """What it is, in words."""
        return {
            "gaussian": "Gaussian errors",
            "rto": "Refits of perturbed data",
            "nuts": "NUTS",
            "diffusion": "Pictures under a learned prior",
        }[self.value]


@dataclass(frozen=True)
class SamplerSettings:
    """What draws are made with."""

    seed: int = 0
    n_chains: int = 4
    """Of NUTS; other draws know nothing of each other."""
    spread: float = 3.0
    """How far from the fit chains begin, in units of its errors."""
    prior: AbstractPrior | Path | str | None = None
    """Of pictures, for diffusion: a prior or a file of one; that of the package where nothing is said."""


class Made(NamedTuple):
    """What a sampler has drawn."""

    parameters: Parameters
    laws: Laws | None
    """Where the laws of spectra stand then."""
    has_settled: bool
    """Whether it is what it claims to be."""
    chain: int = 0


class DataShare(NamedTuple):
    """Of each pixel of a source 1 - posterior variance / prior variance: 1 where the data decide, 0 where the prior."""

    source_id: str
    x: int
    y: int
    """Of the middle pixel [pix of the scene's grid]."""
    picture: Float[np.ndarray, "y x"]


class AbstractSampler(ABC):
    """What makes the draws of one method."""

    mode: Parameters
    """Where draws lie around; known once it is ready."""
    has_settled: bool
    """Whether that is a minimum, as far as can be told."""

    @abstractmethod
    def __init__(self, program: Program, settings: SamplerSettings) -> None:
        """Keep what is to be sampled: the program's scene."""

    @property
    def is_calibrated(self) -> bool:
        """Whether the scatter of the draws is known to be an error bar."""
        return True

    @property
    def doubts(self) -> list[str]:
        """Sentences about what speaks against its draws, whatever they are."""
        return []

    @classmethod
    @abstractmethod
    def check(cls, program: Program) -> None:
        """Raise ValueError with a sentence where the program's scene is not for this method."""

    @abstractmethod
    def make_ready(self, stopped: Callable[[], bool] = never) -> None:
        """Do what has to be done before the first draw; once `stopped` it may end early, to be called again."""

    @abstractmethod
    def draw(self, number: int, stopped: Callable[[], bool] = never) -> Made | None:
        """Return the draw of a number, each of which comes after the one before; None once `stopped`."""

    def diagnosis(self) -> Diagnosis | None:
        """Return what tells whether the draws so far can be trusted; None where they are independent."""
        return None

    def data_shares(self) -> list[DataShare]:
        """Return what the data have said against what a prior of pictures did, of each source that it has drawn."""
        return []


class GaussianSampler(AbstractSampler):
    """Draws of the Gauss-Newton matrix around the fit; numbers of shapes are cut at their bounds, fluxes are not."""

    @classmethod
    def check(cls, program: Program) -> None:
        pass

    def __init__(self, program: Program, settings: SamplerSettings) -> None:
        self._program, self._seed = program, settings.seed

    def make_ready(self, stopped: Callable[[], bool] = never) -> None:
        program = self._program
        # operators and laws would be left by going downhill without them
        is_plain = program.laws is None and not is_asked_of(program.scene)
        self.mode, self.has_settled = as_numpy(program.parameters), True
        if is_plain:
            nearest = Refits(program, self.mode)
            self.mode, self.has_settled = nearest.mode, nearest.has_settled
        self._solver = NoiseSolver(program, self.mode)
        step = self._solver.step
        self._lower, self._upper = as_numpy(step.lower), as_numpy(step.upper)

    def draw(self, number: int, stopped: Callable[[], bool] = never) -> Made:
        change, _ = self._solver.draw(np.random.default_rng([self._seed, number]))
        laws = self._solver.laws
        if laws is not None:
            laws, change = laws.retracted(self.mode, change, 1.0, self._solver.step)
        moved = [
            u._replace(
                theta=np.clip(u.theta + np.asarray(d.theta), lo.theta, hi.theta),
                flux=u.flux + np.asarray(d.flux),
                pixels=None if u.pixels is None else u.pixels + np.asarray(d.pixels),
                aspect=np.clip(u.aspect + np.asarray(d.aspect), lo.aspect, hi.aspect),
            )
            for u, d, lo, hi in zip(
                self.mode.groups, change.groups, self._lower.groups, self._upper.groups, strict=True
            )
        ]
        straight = jax.tree.map(
            lambda u, d: u + np.asarray(d), self.mode._replace(groups=()), change._replace(groups=())
        )
        return Made(straight._replace(groups=tuple(moved)), laws, True)


class RefitSampler(AbstractSampler):
    """Fits of perturbed data and priors."""

    @classmethod
    def check(cls, program: Program) -> None:
        if program.laws is not None:
            raise ValueError(
                "Refits of perturbed data do not know spectra that follow a law; use the method 'gaussian'."
            )
        if is_asked_of(program.scene):
            raise ValueError(
                "Refits of perturbed data do not know constraints that act as operators; switch them off, or use the "
                "method 'gaussian', which draws as if they were."
            )

    def __init__(self, program: Program, settings: SamplerSettings) -> None:
        self._program, self._seed = program, settings.seed

    def make_ready(self, stopped: Callable[[], bool] = never) -> None:
        self._refits = Refits(self._program, self._program.parameters)
        self.mode, self.has_settled = self._refits.mode, self._refits.has_settled

    def draw(self, number: int, stopped: Callable[[], bool] = never) -> Made:
        parameters, has_settled = self._refits.draw(np.random.default_rng([self._seed, number]))
        return Made(parameters, None, has_settled)


class NutsSampler(AbstractSampler):
    """Chains of NUTS, one draw of each after another."""

    @classmethod
    def check(cls, program: Program) -> None:
        if program.laws is not None:
            raise ValueError(
                "NUTS does not know spectra that follow a law; let the spectrum be free in every channel, or use the "
                "method 'gaussian'."
            )
        if is_asked_of(program.scene):
            raise ValueError(
                "A constraint that acts as an operator has no density, and chains that accept by densities would "
                "silently draw from something else; switch it off, or use the method 'gaussian', which draws as if it "
                "were."
            )
        for source, index in program.parts:
            component = source.parts[index]
            pixels = [p for p in component.morphology.parameters.values() if p.value.ndim > 1 and p.is_free]
            if pixels:
                raise ValueError(
                    f"Source {source.name or source.id} has free pixels ({component.morphology.label}), and NUTS is "
                    "for profiles: hold its pixels, choose a profile for it, or use the method 'rto' or 'gaussian'."
                )

    def __init__(self, program: Program, settings: SamplerSettings) -> None:
        self._program, self._settings = program, settings
        self._chains: Chains | None = None

    @property
    def chains(self) -> Chains:
        if self._chains is None:
            settings = self._settings
            self._chains = Chains(self._program, settings.n_chains, settings.seed, settings.spread)
        return self._chains

    def make_ready(self, stopped: Callable[[], bool] = never) -> None:
        self.chains.make_ready(stopped)
        self.mode, self.has_settled = self.chains.mode, self.chains.has_settled

    def draw(self, number: int, stopped: Callable[[], bool] = never) -> Made | None:
        chain = number % self._settings.n_chains
        u = self.chains.next_of(chain, stopped)
        return None if u is None else Made(self.chains.parameters(u), None, True, chain)

    def diagnosis(self) -> Diagnosis | None:
        return self.chains.diagnosis()


def sampler_of(method: Method) -> type[AbstractSampler]:
    """Return what makes the draws of a method."""
    if method is Method.DIFFUSION:
        # networks are loaded when they are asked for
        from deblend.infer.diffusion.sampler import DiffusionSampler

        return DiffusionSampler
    return {Method.GAUSSIAN: GaussianSampler, Method.RTO: RefitSampler, Method.NUTS: NutsSampler}[method]


def is_asked_of(scene: Scene) -> bool:
    """Tell whether operators ask anything of a scene."""
    return any(is_asked(part) for source in scene.sources for part in source.parts)

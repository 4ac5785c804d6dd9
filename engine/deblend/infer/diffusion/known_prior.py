"""The prior that scenes are drawn under, with what is known of it: its Gaussian, and whether its error bars hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from deblend.priors.gaussian_prior import GaussianPrior
from deblend.priors.interface import AbstractPrior
from deblend.priors.model_file import packaged_path, read_card, read_model
from deblend.priors.stamps import generated_stamps
from deblend.scene.learned import LEARNED_SIGMA

DENOISERS = "score", "energy"
"""Kinds of files that pictures can be drawn under."""
RANK = 64
"""Modes of the Gaussian of a learned prior."""
N_GENERATED, N_DRAWN = 400, 96
"""Galaxies of the generator, or draws of a prior of a person's own, that its Gaussian is made of."""
DRAW_STEPS = 18
FLOOR = 3e-3
"""Least scatter of a pixel of that Gaussian [peak]."""
UNPROVED = (
    "No error bars are told: draws under {name} have not passed a test of calibration (SBC, TARP), so that their "
    "scatter may be too small or too large. They show what the data and the prior allow."
)


@dataclass(frozen=True, eq=False)
class KnownPrior:
    """A prior of pictures with its Gaussian."""

    prior: AbstractPrior
    reference: GaussianPrior
    """Of about its covariance."""
    name: str
    is_calibrated: bool
    """Whether posteriors under it are known to hold the truth as often as they say."""
    calibration: str = ""
    """On what that was tested, in words."""
    psf_sigma: float | None = None
    """Of the model PSF that it was learned behind [pix]; None where nobody says."""

    @property
    def doubt(self) -> str:
        """A sentence about why no error bars are told; empty where they may be."""
        return "" if self.is_calibrated else UNPROVED.format(name=self.name)


def known_prior(given: AbstractPrior | Path | str | None) -> KnownPrior:
    """Return a prior that is given, read from a file, or the one of the package.

    Raises
    ------
    ValueError
        In one sentence, where the file is no model, or where its pictures cannot be drawn by diffusion.
    """
    if isinstance(given, GaussianPrior):
        # its posterior is known: tests hold the sampler against it
        return KnownPrior(given, given, "a Gaussian prior", True, "Gaussian: the exact posterior")
    if isinstance(given, AbstractPrior):
        return KnownPrior(given, gaussian_of_draws(given), f"a prior of the class {type(given).__name__}", False)
    path = packaged_path() if given is None else Path(given)
    return _read(path, given is None, denoiser_card(path)["weights_sha256"])


def denoiser_card(path: Path) -> dict[str, Any]:
    """Return the card of a file that pictures can be drawn under.

    Raises ValueError, in one sentence, where it is no model, or one that diffusion sampling does not take.
    """
    card = read_card(path)
    if card["kind"] not in DENOISERS:
        raise ValueError(
            f"{path}: this prior is no denoiser ({card['kind']}), which is what diffusion sampling takes; give one "
            "of `deblend train score` or `deblend train energy`."
        )
    return card


@lru_cache(maxsize=2)
def _read(path: Path, is_packaged: bool, digest: str) -> KnownPrior:
    """Return the prior of a file with numbers of this digest: one that learned on has others under the same name."""
    prior, card = read_model(path)
    reference = gaussian_of_generated(prior.shape[0]) if is_packaged else gaussian_of_draws(prior)
    name = "the prior of the package" if is_packaged else f"the prior {path.stem}"
    said = str(card.get("calibration", ""))
    sigma = card.get("psf_sigma_pix", LEARNED_SIGMA if is_packaged else None)
    return KnownPrior(prior, reference, name, bool(card["calibration_proved"]), said, sigma)


def gaussian_of_generated(side: int) -> GaussianPrior:
    """Return the Gaussian of galaxies of the generator."""
    stamps = generated_stamps(side, N_GENERATED, seed=0).learn[:, :side, :side]
    return GaussianPrior.fitted(stamps, RANK, FLOOR)


def gaussian_of_draws(prior: AbstractPrior) -> GaussianPrior:
    """Return the Gaussian of draws of a prior; some seconds."""
    drawn = eqx.filter_jit(lambda p, key: p.sample(key, N_DRAWN, DRAW_STEPS))(prior, jax.random.key(0))
    return GaussianPrior.fitted(np.asarray(drawn), RANK, FLOOR)

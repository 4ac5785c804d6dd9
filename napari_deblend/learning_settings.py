"""What a prior is learned from in the window, how long, and where to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    from deblend.priors.training import TrainingSettings

CHECK_EVERY, PATIENCE = 100, 10
"""Steps between two trials on held-out stamps, and trials without a better one that end learning."""
SUFFIX = ".safetensors"
KEPT = ".training"
"""Of the file beside a prior that holds what is needed to go on."""
STAMPS_FILTER = "Stamps (*.fits *.fit *.fits.gz *.npy);;All files (*)"


class Origin(Enum):
    """What galaxies are learned from."""

    GENERATOR = "generated galaxies"
    STAMPS = "a file of stamps without noise"
    OBSERVED = "a file of observed stamps"
    FIELD = "the galaxies of this field"

    @property
    def is_observed(self) -> bool:
        """Whether there are noise and a PSF in the stamps."""
        return self in (Origin.OBSERVED, Origin.FIELD)


@dataclass(frozen=True)
class LearningSettings:
    """What is learned from, how long, and where to."""

    learn_from: Annotated[Origin, {"choices": [(origin.value, origin) for origin in Origin]}] = Origin.GENERATOR
    stamps: Annotated[Path, {"filter": STAMPS_FILTER}] = Path()
    """A cube (stamp, y, x) of single galaxies."""
    psf: Annotated[Path, {"filter": STAMPS_FILTER}] = Path()
    """Of observed stamps: an image of odd side."""
    noise: float = 0.02
    """Of observed stamps: standard deviation of a pixel [unit of the stamps]."""
    galaxies: Annotated[int, {"min": 64, "max": 1_000_000}] = 12_000
    """How many are generated."""
    side: Annotated[int, {"min": 16, "max": 64, "step": 4}] = 32
    """Of stamps that are generated, or cut out of the field [pix]."""
    laps: Annotated[int, {"min": 1, "max": 100}] = 3
    """Of expectation and maximization; minutes and steps are of each."""
    minutes: Annotated[float, {"min": 0.1, "max": 10_000.0, "step": 5.0}] = 25.0
    """After which learning ends."""
    steps: Annotated[int, {"min": 1, "max": 1_000_000}] = 3000
    """After which it ends, too; towards them the learning rate falls."""
    stamps_a_step: Annotated[int, {"min": 1, "max": 4096}] = 64
    width: Annotated[int, {"min": 8, "max": 256, "step": 8}] = 48
    """Channels of the network."""
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1}] = 0
    file: Annotated[Path, {"mode": "w", "filter": f"Priors (*{SUFFIX})"}] = field(
        default_factory=lambda: Path.home() / f"galaxies{SUFFIX}"
    )
    """Where the prior is written."""

    @property
    def kept(self) -> Path:
        """The file with what is needed to go on."""
        return self.file.with_suffix(KEPT)

    @property
    def goes_on(self) -> bool:
        """Whether learning was broken off at this file, and can be gone on with."""
        return self.kept.exists() and not self.learn_from.is_observed

    def check(self) -> None:
        """Raise ValueError, in one sentence, where what is asked for cannot be done."""
        if self.file.suffix != SUFFIX:
            raise ValueError(f"{self.file.name}: the name of a prior must end in {SUFFIX}.")
        if not self.file.parent.is_dir():
            raise ValueError(f"{self.file.parent}: there is no such folder to write the prior into.")
        if self.file.exists() and not self.goes_on:
            raise ValueError(f"{self.file}: there is such a prior already; choose another name for the new one.")
        if self.learn_from in (Origin.GENERATOR, Origin.FIELD) and self.side % 4:
            raise ValueError(f"The side of stamps must be a multiple of 4, got {self.side}.")
        if self.learn_from in (Origin.STAMPS, Origin.OBSERVED):
            _check_file(self.stamps, "a cube of stamps (stamp, y, x), FITS or .npy")
        if self.learn_from is Origin.OBSERVED:
            _check_file(self.psf, "the PSF of the stamps, an image of odd side, FITS or .npy")
            if not self.noise > 0:
                raise ValueError(f"The noise of a pixel of the stamps must be positive, got {self.noise:g}.")

    def training_settings(self) -> TrainingSettings:
        """Return how the network is learned."""
        from deblend.priors.training import TrainingSettings

        # where it is coarse a network is 5/3 as wide, in groups of eight channels
        deep_width = 8 * round(self.width * 5 / 24)
        return TrainingSettings(
            steps=self.steps,
            batch=self.stamps_a_step,
            check_every=CHECK_EVERY,
            patience=PATIENCE,
            seed=self.seed,
            width=self.width,
            deep_width=deep_width,
        )


def _check_file(path: Path, what: str) -> None:
    if not path.is_file():
        named = f"{path}: there is no such file" if path.name else "No file is named"
        raise ValueError(f"{named}; give {what}.")

"""What a training has learned, in files: the best network, its card, and a picture of what it believes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.priors.model_file import write_model
from deblend.priors.sheet import write_sheet
from deblend.priors.training import Training


def write_learned(path: Path, training: Training, **more: Any) -> Float[np.ndarray, "draw y x"]:
    """Write the best network so far (safetensors), its card (.json) and a sheet (.png) of draws; return the draws.

    `more` is what else the card tells. Raises ValueError where the name of the file will not do.
    """
    prior = training.finished()
    card = training.card(name=path.stem, **more)
    if card["held_out"] is not None:
        card["held_out"] |= training.lesson.measured(prior)
    write_model(path, prior, card)
    return write_sheet(path.with_suffix(".png"), prior, training.stamps.held_out, training.settings.seed)

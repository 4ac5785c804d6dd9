"""`deblend train score --em`: learn what galaxies look like from stamps that have noise and a PSF in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblend.commands.errors import BadInputError
from deblend.commands.watching import interruptible

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from deblend.infer.diffusion.expectation import Laps, Observed
    from deblend.priors.training import Training, TrainingSettings


def add_em_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `--em` asks for."""
    add = parser.add_argument
    add("--em", action="store_true", help="DATA are as observed: draw what they may be, learn of that, and again")
    add("--psf", type=Path, metavar="FILE", help="of --em: PSF of the stamps, an image of odd side (FITS or .npy)")
    add("--noise", type=float, metavar="S", help="of --em: standard deviation of a pixel of the stamps")
    add("--laps", type=int, default=3, metavar="N", help="of --em; --steps and --minutes are of each (default: 3)")


def check_em(arguments: argparse.Namespace) -> None:
    """Raise BadInputError where what is said does not go together."""
    if not arguments.em:
        if arguments.psf is not None or arguments.noise is not None:
            raise BadInputError("--psf and --noise are of observed stamps; say --em, too.")
        return
    if arguments.what != "score" or arguments.data is None:
        raise BadInputError("--em learns a score prior from observed stamps: deblend train score DATA --em.")
    if arguments.psf is None or arguments.noise is None:
        raise BadInputError("--em needs the PSF of the stamps (--psf FILE) and the noise of a pixel (--noise S).")
    if not arguments.noise > 0 or arguments.laps < 1:
        raise BadInputError("--noise must be positive, and --laps at least 1.")


def learn_by_em(
    arguments: argparse.Namespace,
    kept: Path,
    settings: TrainingSettings,
    learn: Callable[[Training, Path, argparse.Namespace], bool],
) -> tuple[Training, bool]:
    """Go through all laps; return the last training, and whether a person stopped it.

    After every lap its model is written, and beside it lie the draws that the present lap learns from: whoever stops
    loses one drawing at most.
    """
    from deblend.infer.diffusion.expectation import Laps, normalized, observed_as_stamps
    from deblend.priors import ScorePrior, read_model, write_model
    from deblend.priors.training import Training

    observed = observed_of(arguments)
    beside = arguments.out.with_suffix(".draws.npz")
    laps = Laps(observed, arguments.seed)
    if arguments.resume:
        laps.resume(beside, lambda: read_model(arguments.out)[0])
    while True:
        draws = laps.draws
        if draws is None:
            draws = _drawn(laps, arguments)
            laps.keep(beside)
        begun = laps.prior if isinstance(laps.prior, ScorePrior) else None
        about = f"posterior draws of {len(laps.observed.images)} stamps of {arguments.data.name}, lap {laps.number}"
        stamps = observed_as_stamps(normalized(draws), about, arguments.seed)
        training = Training(stamps, settings, "score", begun)
        if kept.exists():
            training.resume(kept)
        is_stopped = learn(training, kept, arguments)
        if is_stopped or laps.number >= arguments.laps:
            if not is_stopped:
                beside.unlink(missing_ok=True)
            return training, is_stopped
        write_model(
            arguments.out, training.best, training.card(name=arguments.out.stem, **em_card(arguments, laps.number))
        )
        laps.keep(beside, is_learned=True)
        kept.unlink(missing_ok=True)
        # as it is read again where it is broken off: in half precision
        laps.go_on(read_model(arguments.out)[0])


def em_card(arguments: argparse.Namespace, lap: int) -> dict[str, Any]:
    """Return what the card of a model says of how it came about."""
    from deblend.scene.learned import LEARNED_SIGMA

    how = {"laps": lap, "observed": arguments.data.name, "psf": arguments.psf.name, "noise": arguments.noise}
    return {"expectation_maximization": how, "psf_sigma_pix": LEARNED_SIGMA}


def observed_of(arguments: argparse.Namespace) -> Observed:
    """Return the observed stamps with what leads from pictures behind the model PSF to them."""
    from deblend.infer.diffusion.observed_stamps import observed_behind, read_observed_stamps

    images, psf = read_observed_stamps(arguments.data, arguments.psf)
    return observed_behind(images, psf, arguments.noise)


def _drawn(laps: Laps, arguments: argparse.Namespace) -> Float[np.ndarray, "stamp y x"]:
    """Return the pictures of a lap, drawn with a progress bar; raises KeyboardInterrupt where a person stops it."""
    from tqdm import tqdm

    n = len(laps.observed.images)
    bar = tqdm(total=n, desc=f"lap {laps.number}: draws", disable=arguments.quiet, file=sys.stderr)
    with bar, interruptible() as is_interrupted:

        def going(done: int) -> bool:
            bar.update(done - bar.n)
            return not is_interrupted()

        draws = laps.draw(going)
    if draws is None:
        raise KeyboardInterrupt
    return draws


__all__ = ["add_em_arguments", "check_em", "em_card", "learn_by_em"]

"""`deblend train`: learn what galaxies look like, as a denoiser, an energy, a density or a decoder, from
stamps or from the generator."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.output import add_json_argument, print_results
from deblend.commands.train_em import add_em_arguments, check_em, em_card, learn_by_em
from deblend.commands.watching import interruptible

if TYPE_CHECKING:
    from deblend.priors import Stamps
    from deblend.priors.training import Training

NAME = "train"
HELP = "Learn what galaxies look like from stamps of them, or from generated ones."
EXAMPLES = """examples:
  deblend train score --generator --out galaxies.safetensors --minutes 25
      from galaxies of the seeded generator, 32 x 32 pixels
  deblend train score stamps.fits --out mine.safetensors --steps 5000
      from a cube (stamp, y, x) of single galaxies without noise, FITS or .npy
  deblend train score seen.fits --em --psf psf.fits --noise 0.02 --out field.safetensors
      from a cube of observed galaxies, with the PSF and the noise of a pixel: by expectation and maximization
  deblend train energy --generator --out energy.safetensors --minutes 50
      a denoiser with a density: for diffusion sampling, and for what accepts steps by densities
  deblend train vae --generator --out mine.safetensors --steps 20000
      a decoder: deblend fit IMAGES --morphology mine.safetensors --kind mine draws galaxies by it
  deblend train score --generator --out galaxies.safetensors --resume
      goes on where training was broken off

Beside FILE are written: a card (.json) of what was learned from and how well it does on stamps that were held out,
a picture (.png) of draws beside held-out stamps, and, until training ends, what it needs to go on (.training).
Ctrl-C ends training and writes the best so far; a second one ends at once."""
DONE, INTERRUPTED = 0, 130
KINDS = ("score", "energy", "pixelcnn", "vae")
WIDTHS = {"score": 48, "energy": 48, "pixelcnn": 32, "vae": 384}
"""Channels of a network, where nothing else is said."""
SIDES = {"score": 32, "energy": 32, "pixelcnn": 32, "vae": 48}
"""Of generated stamps, where nothing else is said [pix]."""
DATA_DEFAULT = 12_000

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add(
        "what",
        choices=KINDS,
        help="score: a denoiser, for diffusion sampling; energy: one with a density; pixelcnn: a density; "
        "vae: a decoder",
    )
    add("data", type=Path, nargs="?", metavar="DATA", help="a cube of stamps (stamp, y, x), FITS or .npy")
    add("--generator", action="store_true", help="learn from generated galaxies instead")
    add("--out", type=Path, required=True, metavar="FILE", help="where to write; ends in .safetensors")
    add("--galaxies", type=_number(64), default=DATA_DEFAULT, metavar="N", help="to generate (default: %(default)s)")
    add("--side", type=_number(16), metavar="PIX", help="of these (default: 48 of a vae, 32 of others)")
    add("--steps", type=_number(1), default=3000, metavar="N", help="of training (default: %(default)s)")
    add("--batch", type=_number(1), default=64, metavar="N", help="stamps a step (default: %(default)s)")
    add("--rate", type=float, default=1e-3, metavar="R", help="of learning, at its highest (default: %(default)s)")
    add("--check-every", type=_number(1), default=200, metavar="N", help="steps between trials (default: %(default)s)")
    add("--patience", type=_number(1), default=5, metavar="N", help="trials without a better one that end it")
    add("--minutes", type=float, metavar="M", help="of processor time, after which training ends (default: no limit)")
    add(
        "--width",
        type=_number(8),
        metavar="N",
        help="of the network (default: 48 of a score or an energy, 32 of a pixelcnn, 384 of a vae)",
    )
    add("--latent", type=_number(2), default=32, metavar="N", help="numbers of a vae (default: %(default)s)")
    add("--depth", type=_number(1), default=5, metavar="N", help="blocks of a pixelcnn (default: %(default)s)")
    add(
        "--head",
        choices=("gaussian", "logistics"),
        default="logistics",
        help="what a pixelcnn says of a pixel: one Gaussian, or a mixture of logistics (default: %(default)s)",
    )
    add("--seed", type=_number(0), default=0, metavar="S", help="the same one gives the same numbers (default: 0)")
    add("--resume", action="store_true", help="go on from what was broken off; --steps may be another number then")
    add_em_arguments(parser)
    add("-q", "--quiet", action="store_true", help="say nothing but what is wrong with the input")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Learn, write and return the exit status; raises BadInputError with a sentence where something given is wrong."""
    if (arguments.data is None) != arguments.generator:
        raise BadInputError("Give either a cube of stamps, or --generator to learn from generated galaxies.")
    check_em(arguments)
    if arguments.minutes is not None and not arguments.minutes > 0:
        raise BadInputError(f"--minutes must be positive, got {arguments.minutes:g}.")
    from deblend.priors.model_file import SUFFIX
    from deblend.priors.training import Training, TrainingSettings

    if arguments.out.suffix != SUFFIX:
        raise BadInputError(f"{arguments.out}: the name of a model must end in {SUFFIX}.")
    kept = arguments.out.with_suffix(".training")
    beside = arguments.out.with_suffix(".draws.npz")
    if arguments.resume and not (kept.exists() or (arguments.em and beside.exists())):
        raise BadInputError(f"{kept}: there is no training to go on with; leave --resume out to begin one.")
    if (kept.exists() or (arguments.em and beside.exists())) and not arguments.resume:
        raise BadInputError(f"{kept}: a training was broken off here; say --resume to go on, or remove the file.")
    with blaming_the_input():
        width = WIDTHS[arguments.what] if arguments.width is None else arguments.width
        settings = TrainingSettings(
            steps=arguments.steps,
            batch=arguments.batch,
            learning_rate=arguments.rate,
            check_every=arguments.check_every,
            patience=arguments.patience,
            seed=arguments.seed,
            width=width,
            deep_width=8 * round(width * 5 / 24),
            depth=arguments.depth,
            head=arguments.head,
            latent=arguments.latent,
        )
        if arguments.em:
            training, interrupted = learn_by_em(arguments, kept, settings, _learn)
        else:
            training = Training(_stamps(arguments), settings, arguments.what)
            if arguments.resume:
                training.resume(kept)
            interrupted = _learn(training, kept, arguments)
        if arguments.em and interrupted:
            # the model of the lap before stays, from which draws of the present one are
            line = "Training is interrupted within a lap; say --resume to go on."
            print_results(arguments, [line], {"out": str(arguments.out), "interrupted": True})
            return INTERRUPTED
        _write(training, arguments)
    if training.has_ended or arguments.em:
        kept.unlink(missing_ok=True)
    best = min(training.trials, key=lambda trial: trial.loss)
    how = "has settled" if training.has_settled else "is interrupted" if interrupted else "has ended"
    line = (
        f"Training {how} after {training.step} steps; the best network, of step {best.step}, is in {arguments.out} "
        f"(held-out loss {best.loss:.4f})."
    )
    told = {"out": str(arguments.out), "steps": training.step, "best_step": best.step, "held_out_loss": best.loss}
    told |= {"settled": training.has_settled, "interrupted": interrupted}
    print_results(arguments, [line], told)
    return INTERRUPTED if interrupted else DONE


def _stamps(arguments: argparse.Namespace) -> Stamps:
    from tqdm import tqdm

    from deblend.priors import generated_stamps, read_stamps
    from deblend.priors.lessons import LESSONS

    if arguments.data is not None:
        return read_stamps(arguments.data, arguments.seed)
    with tqdm(desc="galaxies", disable=arguments.quiet, file=sys.stderr, unit="") as bar:

        def progress(done: int) -> None:
            bar.update(done - bar.n)

        lesson = LESSONS[arguments.what]
        side = SIDES[arguments.what] if arguments.side is None else arguments.side
        radii, jitter = lesson.radii_of_side, lesson.center_jitter
        return generated_stamps(side, arguments.galaxies, arguments.seed, progress, radii, jitter)


def _learn(training: Training, kept: Path, arguments: argparse.Namespace) -> bool:
    """Take steps with a progress bar; return whether a person stopped them."""
    from tqdm import tqdm

    budget = float("inf") if arguments.minutes is None else 60.0 * arguments.minutes
    bar = tqdm(
        total=training.settings.steps, initial=training.step, desc="steps", disable=arguments.quiet, file=sys.stderr
    )
    with bar, interruptible() as is_interrupted:
        while not training.has_ended and training.cpu_seconds < budget and not is_interrupted():
            if training.advance():
                training.keep(kept)
                bar.set_postfix(held_out=f"{training.trials[-1].loss:.4f}")
            bar.update()
        # where it ends between two trials
        training.hold_trial()
        training.keep(kept)
        return is_interrupted()


def _write(training: Training, arguments: argparse.Namespace) -> None:
    from deblend.priors.keeping import write_learned

    write_learned(arguments.out, training, **(em_card(arguments, arguments.laps) if arguments.em else {}))


def _number(least: int) -> type[int]:
    """Return the reader of a whole number that is no less than this."""

    def number(text: str) -> int:
        value = int(text) if text.strip().lstrip("+-").isdigit() else None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return value

    return number  # type: ignore[return-value]

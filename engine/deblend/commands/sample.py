"""`deblend sample`: draws from the posterior of a fitted scene, with percentiles, covariances and pictures."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.export import add_data_argument, read
from deblend.commands.fit_arguments import CATALOG_SUFFIXES
from deblend.commands.morphologies import add_morphology_argument
from deblend.commands.output import add_json_argument, print_results
from deblend.commands.watching import interruptible

if TYPE_CHECKING:
    from deblend import Sampling
    from deblend.io import Session
    from deblend.measure import Samples

NAME = "sample"
HELP = "Draw scenes that the data may have come from, around a fitted one: how sure its numbers and pictures are."
EXAMPLES = """examples:
  deblend sample deblend_output/session.asdf --draws 200
      Gaussian errors around the fit, with all that neighbours trade
  deblend sample session.asdf --method rto --draws 100 --seed 7 --out errors
      refits of perturbed data: slower, and no flux is negative
  deblend sample session.asdf --method nuts --draws 2000
      chains in the posterior itself, for sources that are profiles; R-hat says whether they agree
  deblend sample session.asdf --method diffusion
      pictures of all galaxies under a learned prior of what galaxies look like, and their spectra; seconds per draw

Ctrl-C ends after the present draw and writes what there is; a second one ends at once."""
METHODS = ("gaussian", "rto", "nuts", "diffusion")
DRAWS, DRAWS_OF_DIFFUSION = 100, 16
"""Where nothing else is said; a draw of diffusion takes seconds."""
DONE, INTERRUPTED = 0, 130

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("session", type=Path, metavar="SCENE", help="a session (ASDF), as `deblend fit` and the window write it")
    add_data_argument(parser)
    add("--out", type=Path, default=Path("deblend_output"), metavar="DIR", help="(default: %(default)s)")
    add(
        "--method",
        choices=METHODS,
        default=METHODS[0],
        help="gaussian: of the Gauss-Newton matrix of the fit; rto: randomise, then optimise; nuts: chains in the "
        "posterior itself, for profiles; diffusion: pictures under a learned prior (default: %(default)s)",
    )
    add("--chains", type=_whole(1), default=4, metavar="N", help="of nuts; they share the draws (default: %(default)s)")
    add("--draws", type=_whole(1), metavar="N", help=f"how many (default: {DRAWS}; {DRAWS_OF_DIFFUSION} of diffusion)")
    add("--prior", type=Path, metavar="FILE", help="of diffusion: from `deblend train score` (default: the package's)")
    add("--seed", type=_whole(0), default=0, metavar="S", help="the same one gives the same draws (default: 0)")
    add(
        "--catalog-format",
        choices=("ecsv", "fits"),
        default="ecsv",
        help="of the catalog with percentiles (default: %(default)s)",
    )
    add("--arviz", action="store_true", help="write samples.nc too, which ArviZ reads without this program")
    add_morphology_argument(parser)
    add("-q", "--quiet", action="store_true", help="say nothing but what is wrong with the input")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw, write and return the exit status; raises BadInputError with a sentence where the session is at fault."""
    import deblend
    from deblend.measure import Samples

    if arguments.draws is None:
        arguments.draws = DRAWS_OF_DIFFUSION if arguments.method == "diffusion" else DRAWS
    if arguments.prior is not None and arguments.method != "diffusion":
        raise BadInputError("--prior is for --method diffusion; leave it out, or choose that method.")
    session = read(arguments)
    with blaming_the_input():
        try:
            sampling = deblend.sample(
                session.scene,
                session.observations,
                arguments.method,
                arguments.draws,
                arguments.seed,
                n_chains=arguments.chains,
                prior=arguments.prior,
            )
        except ValueError as error:
            raise ValueError(f"{arguments.session}: {error}") from error
    samples = Samples(sampling.program, is_calibrated=sampling.is_calibrated)
    interrupted = _draw(sampling, samples, quiet=arguments.quiet)
    if not len(samples):
        raise KeyboardInterrupt
    if not arguments.quiet:
        for sentence in sampling.doubts:
            print(f"note: {sentence}", file=sys.stderr)
    with blaming_the_input():
        summary = _write(arguments, session, samples, interrupted, sampling)
    said = "Interrupted; what there was is kept: " if interrupted else ""
    line = f"{said}{len(samples)} draws ({sampling.method.label}) are in {arguments.out}."
    print_results(arguments, [line], {"out": str(arguments.out), **summary})
    return INTERRUPTED if interrupted else DONE


def _draw(sampling: Sampling, samples: Samples, *, quiet: bool) -> bool:
    """Make the draws with a progress bar; return whether a person stopped them before their end."""
    from tqdm import tqdm

    bar = tqdm(total=sampling.n_draws, desc="draws", disable=quiet, file=sys.stderr)
    with bar, interruptible() as is_interrupted:
        while not is_interrupted() and (draw := next(sampling, None)) is not None:
            samples.add(draw)
            bar.update()
    return sampling.n_done < sampling.n_draws


def _write(
    arguments: argparse.Namespace,
    session: Session,
    samples: Samples,
    interrupted: bool,
    sampling: Sampling,
) -> dict[str, Any]:
    """Write all results; return what the summary among them says."""
    from deblend import Catalog, io
    from deblend.replacing import replacing

    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    io.write_samples(out, session.observations, samples)
    if shares := sampling.data_shares():
        io.write_data_shares(out / "data_share.fits", shares, {s.id: s.name for s in session.scene.sources})
    if arguments.arviz:
        with replacing(out / "samples.nc") as part:
            samples.to_arviz().to_netcdf(str(part))
    catalog = Catalog(samples.catalog())
    catalog.table.meta |= {"method": arguments.method, "seed": arguments.seed}
    if not samples.is_calibrated:
        catalog.table.meta["notes"] = sampling.doubts
    # not the name of the fit's own catalog, which may be in the same folder
    io.write_catalog(out / f"percentiles{CATALOG_SUFFIXES[arguments.catalog_format]}", catalog)
    said = sampling.doubts
    # not the session itself, which is a person's
    # around the scene of the session, whatever its galaxies were drawn as
    kept = replace(samples.kept(arguments.method, arguments.seed, said), scene=session.scene)
    io.write_session(out / "sampled.asdf", replace(session, draws=kept))
    summary = {
        "session": str(arguments.session),
        "method": arguments.method,
        "seed": arguments.seed,
        "draws": len(samples),
        "draws_wanted": arguments.draws,
        "interrupted": interrupted,
        "notes": said,
        "calibrated": samples.is_calibrated,
        "diagnosis": _diagnosed(sampling),
    }
    io.write_summary(out / "sampling.json", summary)
    return summary


def _diagnosed(sampling: Sampling) -> dict[str, Any] | None:
    """Return R-hat, effective draws and divergences; None where draws are independent of each other."""
    found = sampling.diagnosis()
    if found is None:
        return None
    return {
        "chains": found.n_chains,
        "divergent": found.n_divergent,
        "numbers": list(found.names),
        "r_hat": [_known(value) for value in found.r_hat],
        "effective_draws": [_known(value) for value in found.ess],
    }


def _known(value: float) -> float | None:
    """Return a number for JSON, which has none that is not a number."""
    return float(value) if math.isfinite(value) else None


def _whole(least: int) -> type[int]:
    """Return the reader of a whole number that is no less than this."""

    def number(text: str) -> int:
        value = int(text) if text.strip().lstrip("+-").isdigit() else None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return value

    return number  # type: ignore[return-value]

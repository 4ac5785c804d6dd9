"""`deblend detect`: where sources are, as a table that `deblend fit --peaks` takes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deblend.commands.borrowed import READING, borrow, reading_of
from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.fit import check_folder
from deblend.commands.output import add_json_argument, print_results, rows_of

if TYPE_CHECKING:
    from astropy.table import QTable

    from deblend import Observation, Peaks

NAME = "detect"
HELP = "Find the sources of an image set, without fitting them, and write where they are."
EXAMPLES = """examples:
  deblend detect sample_data --threshold 7 --out peaks.ecsv
      what stands out by 7 sigma; deblend fit sample_data --peaks peaks.ecsv fits these
  deblend detect coadd-*.fits --psf gaussian:0.7 --detect starlet --json
      at all scales, for faint sources beside bright ones; printed for another program"""
SUFFIXES = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".vot": "votable"}

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="FITS image or cube, a folder of them, or FILE[HDU]")
    borrow(parser, (*READING, "--cutout", "--threshold", "--detect"))
    add(
        "--out",
        type=Path,
        default=Path("peaks.ecsv"),
        metavar="FILE",
        help="a table, by its ending .ecsv, .csv, .fits or .vot; `deblend fit --peaks` takes it (default: %(default)s)",
    )
    add("-q", "--quiet", action="store_true", help="say nothing but what is wrong with the input")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it and return 0; raises BadInputError with a sentence where the input is at fault."""
    import deblend
    from deblend import io
    from deblend.replacing import replacing

    out: Path = arguments.out
    kind = SUFFIXES.get(out.suffix.lower())
    if kind is None:
        raise BadInputError(f"{out}: a table ends in {', '.join(SUFFIXES)}; name it so.")
    with blaming_the_input():
        check_folder(out.absolute().parent)
        observations = io.read_observations(arguments.images, cutout=arguments.cutout, **reading_of(arguments))
        peaks = deblend.find_peaks(observations, arguments.threshold, arguments.detect)
        table = _table(peaks, observations[0])
        with replacing(out) as part:
            table.write(str(part), format=kind, overwrite=True)
    if not arguments.quiet:
        for sentence in (sentence for observation in observations for sentence in observation.notes):
            print(f"note: {sentence}", file=sys.stderr)
    found = "1 source" if len(peaks) == 1 else f"{len(peaks)} sources"
    line = f"{found} {arguments.threshold:g} sigma above the noise, in {out}."
    print_results(arguments, [line], {"out": str(out), "sources": rows_of(table)})
    return 0


def _table(peaks: Peaks, first: Observation) -> QTable:
    """Return a row per peak, brightest first, with 0-based pixels of the first image and, where known, the sky."""
    from astropy import units
    from astropy.table import QTable

    table = QTable()
    table["x"], table["y"] = peaks.x * units.pix, peaks.y * units.pix
    if first.wcs is not None:
        ra, dec = first.wcs.pixel_to_sky(peaks.x, peaks.y)
        table["ra"], table["dec"] = ra * units.deg, dec * units.deg
    table["snr"] = peaks.snr
    table["snr"].info.description = "of a point source there, over all bands"
    table.meta["pixels"] = "of the first image as it was read; 0-based: the middle of the first pixel is (0, 0)"
    return table

"""What `deblend fit` may be told."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from deblend.commands.completion import CONSTRAINTS, KINDS, completed_by
from deblend.commands.output import add_json_argument

CALIBRATIONS = {
    "shift": ("shift",),
    "background": ("background",),
    "plane": ("background", "background_slope"),
    "flux-scale": ("flux_scale",),
    "psf": ("psf_growth",),
    "rotation": ("rotation",),
}
"""What `--calibrate` takes, and the parameters that it frees."""
CATALOG_SUFFIXES = {"ecsv": ".ecsv", "fits": ".fits", "votable": ".vot", "parquet": ".parquet"}
"""What `--catalog-format` takes, and how names of such tables end."""
DETECTORS = ("sep", "starlet")
SOLVERS = ("gauss-newton", "proximal-gradient", "fista", "adaprox", "l-bfgs-b", "adam", "yogi")


EXAMPLES = """examples:
  deblend fit sample_data --out fitted
      all images of a folder, with the PSFs that lie beside them
  deblend fit hsc-*.fits hst.fits --psf psf-hsc.fits --psf psf-hst.fits --peaks peaks.csv
      two telescopes, each on its own pixels, with sources where a table says
  deblend fit coadd.fits --cutout "10:00:01.2 +02:13:07 20" --stars gaia.ecsv --classify
      20 arcsec of a large image, with known stars; chi2 says which of the others are stars, too
  deblend run fitted/session.asdf --out again
      the same fit again; `deblend view fitted/session.asdf` opens it in the window

Exit status: 0 done, 1 the fit did not converge (everything is written all the same), 2 bad input, 130 interrupted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="FITS image or cube, a folder of them, or FILE[HDU]")
    add(
        "--psf",
        action="append",
        metavar="FILE",
        help="PSF stamps, or a grid of them, or a PSFEx model; gaussian:FWHM, moffat:FWHM,BETA [arcsec]; stars or "
        "stars:TABLE, made of stars of the image; once, or per image",
    )
    add(
        "--psf-oversampling",
        type=_count,
        metavar="N",
        help="samples of the PSF per pixel (default: as files say)",
    )
    add("--psf-integrated", choices=("yes", "no"), help="whether stamps hold the light of whole pixels")
    add(
        "--weights",
        action="append",
        metavar="[KIND:]FILE",
        help="inverse variances [1/(image unit)²], or KIND: rms, variance, ivar, weight, exposure; once per image; or "
        "'measured'",
    )
    add(
        "--mask",
        action="append",
        metavar="FILE",
        help="image that is not zero where pixels are bad (bits:0,3:FILE: has one of these bits), or DS9 regions; "
        "once, or per image",
    )
    add("--rescale-weights", action="store_true", help="multiply weights to agree with the noise of blank sky")
    add("--epochs", metavar="MJD,…", help="when each image was taken, in their order (default: as headers say)")
    add(
        "--transient",
        action="append",
        type=_place,
        default=[],
        metavar="X,Y",
        help="a star with a flux of its own at every epoch, at this place of the first image, besides all others",
    )
    add("--bands", metavar="g,r,i", help="name of every plane, in the order of the images")
    add("--zero-point", type=float, metavar="MAG", help="AB magnitude of one count, for all images, whatever they say")
    add("--noise-scale", type=_positive, metavar="F", help="factor on the noise that the weights say, for all images")
    add(
        "--cutout",
        metavar="BOX",
        help='the only part that is read: "RA DEC SIZE" (degrees or sexagesimal; size in arcsec, with a unit, or px), '
        "or X0:X1,Y0:Y1 in 0-based pixels of the first image, ends not included",
    )
    add(
        "--peaks",
        metavar="FILE",
        help="table or DS9 regions with x, y of the first image as it is read, or ra, dec; without it sources are "
        "detected",
    )
    add("--peaks-origin", type=int, choices=(0, 1), help="number of the first pixel in --peaks")
    add(
        "--stars",
        metavar="TABLE",
        help="known stars: ra, dec, and pmra, pmdec, ref_epoch where they move, as in Gaia's tables; they keep their "
        "places, and have a table of their own",
    )
    add("--list-stars", action="store_true", help="list known stars in the catalog, too")
    kind = add(
        "--kind",
        default="galaxy",
        help="what a source is taken for: galaxy (default), point, gaussian, exponential, de-vaucouleurs, sersic, "
        "moffat, spergel, spline, learned (as galaxies look, for irregular ones, too), vae (as a network draws "
        "galaxies), free-form, starlet, or the label of a morphology of your own",
    )
    completed_by(kind, KINDS)
    add(
        "--morphology",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="Python (.py) that registers morphologies of your own (deblend.register_morphology), or a decoder of "
        "`deblend train vae` (.safetensors; its kind is the name of the file), for --kind",
    )
    add("--threshold", type=_positive, default=5.0, metavar="SIGMA", help="of the detection (default: %(default)s)")
    add(
        "--detect",
        choices=DETECTORS,
        default="sep",
        help="how sources are looked for, without --peaks (default: %(default)s)",
    )
    add(
        "--oversampling",
        type=_count,
        metavar="N",
        help="cut each of the finest pixels into N² ones for sources to live on (default: as the PSFs ask for)",
    )
    add(
        "--cover",
        choices=("union", "intersection"),
        default="union",
        help="where sources live: on all images together, or only where all of them overlap (default: %(default)s)",
    )
    add(
        "--passes",
        type=_passes,
        default=1,
        metavar="N",
        help="how often more are looked for in what plain profiles leave over, before what others hide is tried; "
        "without --peaks (default: %(default)s; 0 does neither)",
    )
    add(
        "--classify",
        action="store_true",
        help="let chi² say, once all are fitted, which sources are stars, and fit on with these as points",
    )
    add(
        "--keep-kinds",
        action="store_true",
        help="leave galaxies that turn out to be uneven (spirals, irregulars) as they are; by default they and their "
        "neighbours are fitted anew, with these as learned ones",
    )
    add(
        "--diffuse",
        type=_positive,
        nargs="?",
        const=0.0,
        metavar="SPACING",
        help="fit light that covers the whole scene, too, as smooth as splines so many pixels apart (default: 16, or a "
        "twelfth of a larger scene)",
    )
    add("--box-scale", type=_positive, default=1.0, metavar="F", help="size of the sources' boxes (default: 1)")
    calibrate = add(
        "--calibrate",
        metavar="WHAT",
        type=_calibrations,
        default=(),
        help=f"let the fit find how images are off, separated by commas: {', '.join(CALIBRATIONS)}; "
        "shift, rotation and flux-scale are relative to the first channel",
    )
    completed_by(calibrate, CALIBRATIONS)
    constraint = add(
        "--constraint",
        action="append",
        type=_constraint,
        default=[],
        metavar="KIND[=STRENGTH]",
        help="ask this of every source that it means anything for, like monotonic, or symmetric=0.5; repeat for more",
    )
    completed_by(constraint, CONSTRAINTS)
    add(
        "--law",
        metavar="LAW",
        help="what the spectrum of every source follows: power-law[:slope=S], black-body[:T=KELVIN], break:ANGSTROM, "
        "line:ANGSTROM[@z=Z], template:FILE[@z=Z]; numbers are where the fit starts, one with ! behind it stays",
    )
    add("--solver", choices=SOLVERS, default="gauss-newton", help="(default: %(default)s)")
    add(
        "--correlated-noise", action="store_true", help="measure in blank sky how the noise of neighbours goes together"
    )
    add("--max-iterations", type=_count, metavar="N", help="stop there, converged or not")
    add(
        "--shares", action="store_true", help="share the data out among the sources, too: shares.fits and flux_shared_…"
    )
    add(
        "--catalog-format",
        choices=tuple(CATALOG_SUFFIXES),
        default="ecsv",
        help="of the catalog and the tables beside it (default: %(default)s)",
    )
    add("--no-errors", action="store_true", help="leave the error bars out")
    add("--out", type=Path, default=Path("deblend_output"), metavar="DIR", help="(default: %(default)s)")
    add("-q", "--quiet", action="store_true", help="say nothing but what is wrong with the input")
    add_json_argument(parser)


def _calibrations(text: str) -> tuple[str, ...]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in CALIBRATIONS:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(CALIBRATIONS)}")
    return tuple(dict.fromkeys(name for word in words for name in CALIBRATIONS[word]))


def _constraint(text: str) -> tuple[str, float | None]:
    from deblend.scene import offered_constraints

    kind, _, strength = text.partition("=")
    kinds = [offered.value for offered in offered_constraints()]
    if kind not in kinds:
        raise argparse.ArgumentTypeError(f"{kind!r} is none of {', '.join(kinds)}")
    try:
        return kind, float(strength) if strength else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KIND=STRENGTH with a number") from None


def _place(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form X,Y") from None
    return x, y


def _passes(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, got {text}")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value

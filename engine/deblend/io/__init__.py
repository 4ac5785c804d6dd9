"""Files: observations from FITS, positions from tables, results to a folder."""

from deblend.io.checks import Check, checks, signature
from deblend.io.companions import Role, role_of
from deblend.io.curves import read_passband, read_template
from deblend.io.cutout import Cutout, PixelCutout, Scissors, SkyCutout, as_cutout, boxes_in, cut_out, cutout_from_text
from deblend.io.group import find_images, read_observations
from deblend.io.interpretation import Interpretation
from deblend.io.overview import Overview, image_shape, is_large, overviews
from deblend.io.peaks import Positions, read_peaks, read_positions
from deblend.io.regions import write_regions
from deblend.io.report import write_report
from deblend.io.results import (
    Seen,
    write_catalog,
    write_components,
    write_models,
    write_pictures,
    write_residuals,
    write_summary,
    write_tables,
)
from deblend.io.samples import write_data_shares, write_samples
from deblend.io.session import (
    DataFile,
    DataNotFoundError,
    Edit,
    Journal,
    Reading,
    Run,
    Session,
    Step,
    changes_of,
    files_of,
    fit_again,
    is_session,
    read_journal,
    read_session,
    replay,
    write_script,
    write_session,
)
from deblend.io.stars import read_stars

__all__ = [
    "Check",
    "Cutout",
    "DataFile",
    "DataNotFoundError",
    "Edit",
    "Interpretation",
    "Journal",
    "Overview",
    "PixelCutout",
    "Positions",
    "Reading",
    "Role",
    "Run",
    "Scissors",
    "Seen",
    "Session",
    "SkyCutout",
    "Step",
    "as_cutout",
    "boxes_in",
    "changes_of",
    "checks",
    "cut_out",
    "cutout_from_text",
    "files_of",
    "find_images",
    "fit_again",
    "image_shape",
    "is_large",
    "is_session",
    "overviews",
    "read_journal",
    "read_observations",
    "read_passband",
    "read_peaks",
    "read_positions",
    "read_session",
    "read_stars",
    "read_template",
    "replay",
    "role_of",
    "signature",
    "write_catalog",
    "write_components",
    "write_data_shares",
    "write_models",
    "write_pictures",
    "write_regions",
    "write_report",
    "write_residuals",
    "write_samples",
    "write_script",
    "write_session",
    "write_summary",
    "write_tables",
]

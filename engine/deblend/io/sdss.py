"""Frames of the Sloan Digital Sky Survey: the noise of each pixel, from the counts that the file lets one restore."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from deblend.io.fits_file import FitsImage

BANDS = "ugriz"
GAIN = {
    1: (1.62, 3.32, 4.71, 5.165, 4.745),
    2: (1.595, 3.855, 4.6, 6.565, 5.155),
    3: (1.59, 3.845, 4.72, 4.86, 4.885),
    4: (1.6, 3.995, 4.76, 4.885, 4.775),
    5: (1.47, 4.05, 4.725, 4.64, 3.48),
    6: (2.17, 4.035, 4.895, 4.76, 4.69),
}
"""Photo-electrons per count of each column of CCDs (CAMCOL) by band (data model of `frame`, SDSS DR13)."""
DARK_VARIANCE = {
    1: (9.61, 15.6025, 1.8225, 7.84, 0.81),
    2: (12.6025, 1.44, 1.0, 5.76, 1.0),
    3: (8.7025, 1.3225, 1.3225, 4.6225, 1.0),
    4: (12.6025, 1.96, 1.3225, 6.25, 9.61),
    5: (9.3025, 1.1025, 0.81, 7.84, 1.8225),
    6: (7.0225, 1.8225, 0.9025, 5.0625, 1.21),
}
"""Variance of read-out and dark current [count²]."""
LATER_GAIN = {(2, "u"): (1100, 1.825)}
LATER_DARK_VARIANCE = {
    (2, "i"): (1500, 6.25),
    (4, "i"): (1500, 7.5625),
    (4, "z"): (1500, 12.6025),
    (5, "z"): (1500, 2.1025),
}
"""What holds in runs after the one named."""


def frame_variance(hdus: fits.HDUList, image: FitsImage) -> Float[np.ndarray, "1 y x"] | None:
    """Return the variance of every pixel of a frame [nanomaggy²]; None where the file is none, or does not tell.

    Counts are image/calibration + sky; they vary by counts/gain + dark variance (data model of `frame`, SDSS DR13).
    """
    column, band, run = image.cards.get("CAMCOL"), image.cards.get("FILTER"), image.cards.number("RUN")
    if column not in GAIN or band not in tuple(BANDS) or run is None or len(hdus) < 3 or image.data.ndim != 2:
        return None
    shape = image.data.shape if image.piece is None else image.piece.whole
    calibration = np.asarray(hdus[1].data, dtype=np.float64) if hdus[1].is_image and hdus[1].shape else np.zeros(0)
    sky = hdus[2]
    if calibration.shape != shape[1:] or sky.is_image or "ALLSKY" not in sky.columns.names:
        return None
    row = {name: np.asarray(sky.data[name][0], dtype=np.float64) for name in ("ALLSKY", "XINTERP", "YINTERP")}
    if (row["YINTERP"].size, row["XINTERP"].size) != shape:
        return None
    if image.piece is not None:
        rows, columns = image.piece.box.slices
        calibration = calibration[columns]
        row |= {"XINTERP": row["XINTERP"][columns], "YINTERP": row["YINTERP"][rows]}
    coarse = row["ALLSKY"].reshape(row["ALLSKY"].shape[-2:])
    places = np.meshgrid(row["YINTERP"], row["XINTERP"], indexing="ij")
    sky_counts = map_coordinates(coarse, places, order=1, mode="nearest")
    counts = image.data.astype(np.float64) / calibration + sky_counts
    gain, dark = (
        later[column, band][1]
        if (column, band) in later and run[1] > later[column, band][0]
        else table[column][BANDS.index(band)]
        for table, later in ((GAIN, LATER_GAIN), (DARK_VARIANCE, LATER_DARK_VARIANCE))
    )
    variance: np.ndarray = (np.maximum(counts, 0.0) / gain + dark) * calibration**2
    return variance[None]

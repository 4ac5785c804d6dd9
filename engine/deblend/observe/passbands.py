"""The passband of a channel, by its name: a measured curve where there is one, else a top-hat.

Curves are those that astro-sedpy (B. Johnson) carries inside of its package; nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from deblend.sky import Channel, Passband

PACKAGED = (
    (r"HSC|HYPER.?SUPRIME|SUBARU", r"(?P<band>[grizy])2?", "hsc_{band}"),
    (r"LSST|RUBIN", r"(?P<band>[ugrizy])", "lsst_baseline_{band}"),
    (r"SDSS|SLOAN", r"(?P<band>[ugriz])", "sdss_{band}0"),
    (r"DES\b|DECAM|DECALS|LEGACY|CTIO", r"(?P<band>[ugrizY])", "decam_{band}"),
    (r"PS1|PAN.?STARRS", r"(?P<band>[grizy])", "panstarrs_{band}"),
    (r"VISTA|VIRCAM|ULTRAVISTA|VIDEO", r"(?P<band>[ZYJH]|Ks)", "vista_vircam_{band}"),
    (r"UKI(RT|DSS)|WFCAM", r"(?P<band>[JHK])", "ukirt_wfcam_{band}"),
    (r"2MASS|TWOMASS", r"(?P<band>[JH]|Ks)", "twomass_{band}"),
    (r"GALEX", r"(?P<band>[FN]UV)", "galex_{band}"),
    (r"WISE", r"(?P<band>w[1-4])", "wise_{band}"),
    (r"SPITZER|IRAC", r"(?P<band>ch[1-4])", "spitzer_irac_{band}"),
    (r"ROMAN|WFIRST", r"(?P<band>f\d{3})", "roman_wfi_{band}"),
    (r"NIRISS", r"(?P<band>f\d{3,4}[wm]2?)", "jwst_niriss_{band}"),
    (r"JWST|NIRCAM|MIRI|WEBB", r"(?P<band>f\d{3,4}[wm]2?)", "jwst_{band}"),
    (r"WFC3|UVIS", r"(?P<band>f\d{3}\w+)", "wfc3_uvis_{band}"),
    (r"WFC3|IR", r"(?P<band>f\d{3}\w+)", "wfc3_ir_{band}"),
    (r"", r"(?P<band>f[4-8]\d\d(w|lp))", "acs_wfc_{band}"),
    (r"", r"(?P<band>f(098m|105w|110w|125w|140w|160w))", "wfc3_ir_{band}"),
    (r"", r"(?P<band>f[2-8]\d\dw)", "wfc3_uvis_{band}"),
)
"""Surveys, telescopes or instruments, their bands, and the curve; the first that is there is taken. Filters of Hubble
are known by their names, whoever took the image; its Advanced Camera comes first."""

EUCLID = {"VIS": (7250.0, 3500.0), "Y": (10809.0, 2627.0), "J": (13673.0, 3994.0), "H": (17714.0, 4999.0)}
"""Center and width [Å] between half of the peak; VIS from Laureijs et al. (2011), NISP from Schirmer et al. (2022)."""
USUAL = {
    "u": (3557.0, 599.0),
    "g": (4825.0, 1379.0),
    "r": (6261.0, 1382.0),
    "i": (7672.0, 1535.0),
    "z": (9097.0, 1370.0),
    "y": (10150.0, 1300.0),
    "U": (3650.0, 660.0),
    "B": (4450.0, 940.0),
    "V": (5510.0, 880.0),
    "R": (6580.0, 1380.0),
    "I": (8060.0, 1490.0),
    "Y": (10200.0, 1200.0),
    "J": (12200.0, 2130.0),
    "H": (16300.0, 3070.0),
    "K": (21900.0, 3900.0),
    "Ks": (21900.0, 3900.0),
}
"""Center and full width at half maximum [Å]: ugriz of Fukugita et al. (1996), y of the LSST Science Book (2009), the
others of Binney & Merrifield (1998), table 2.1, after Bessell."""


def find_passbands(
    channels: Sequence[Channel], given: Mapping[tuple[str, str], Passband] | None = None
) -> tuple[Passband, ...]:
    """Return the passband of every channel: as `given` for its (survey, band), else as `find_passband` has it."""
    given = given or {}
    return tuple(given.get((c.survey, c.band)) or find_passband(c.survey, c.band) for c in channels)


@lru_cache(maxsize=256)
def find_passband(survey: str, band: str) -> Passband:
    """Return the passband of a band of a survey; its `origin` says which was taken.

    Raises ValueError where none is known by these names.
    """
    from sedpy.observate import Filter, list_available_filters  # late: it is needed for spectra that follow a law only

    known = {name.lower(): name for name in list_available_filters()}
    for surveys, bands, curve in PACKAGED:
        match = re.fullmatch(bands, band) or re.fullmatch(bands, band.lower())
        if match is None or not re.search(surveys, survey, re.IGNORECASE):
            continue
        name = known.get(curve.format(band=match["band"]).lower())
        if name is not None:
            read = Filter(name)
            return Passband(read.wavelength, read.transmission, f"the curve {name} of astro-sedpy")
    is_euclid = re.search("EUCLID|NISP", survey, re.IGNORECASE) is not None
    name = re.sub(r"^NIR[-_]", "", band, flags=re.IGNORECASE) if is_euclid else band
    found = EUCLID.get(name.upper()) if is_euclid else USUAL.get(name)
    if found is None:
        raise ValueError(
            f"No transmission curve is known for the band {band} of {survey}; read one by "
            "read_passband from a table of wavelength and transmission, and give it to scene.with_passbands."
        )
    center, width = found
    low, high = center - width / 2, center + width / 2
    return Passband.top_hat(center, width, f"a top-hat from {low:.0f} to {high:.0f} Å, for want of a curve")


def passband_notes(channels: Sequence[Channel], passbands: Sequence[Passband]) -> list[str]:
    """Return a sentence for every passband, which says what was taken for it."""
    said = (f"{c.survey} {c.band}: the passband is {p.origin}." for c, p in zip(channels, passbands, strict=True))
    return list(dict.fromkeys(said))

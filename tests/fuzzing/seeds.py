"""Small files of every kind that the program reads, each whole, and what reads them as the program does."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from deblend import Observation, Scene, TangentWcs, make_source
from deblend.io import (
    Journal,
    Reading,
    Run,
    Session,
    Step,
    files_of,
    overviews,
    read_journal,
    read_observations,
    read_passband,
    read_positions,
    read_session,
    read_stars,
    read_template,
    write_session,
)
from deblend.observe import gaussian_psf
from tests.fuzzing import mutations as m

SHAPE = (26, 22)
WCS = TangentWcs((150.0, 2.2), (11.0, 13.0), ((-0.168, 0.0), (0.0, 0.168)))
PSF = "gaussian:3px"
Folder = Path
Read = Callable[[Folder], Any]


@dataclass(frozen=True)
class Seed:
    """Whole files, which of them are damaged and how, and what reads them."""

    name: str
    files: dict[str, bytes]
    damage: tuple[m.Mutation, ...]
    read: Read
    targets: tuple[str, ...] = ()
    """What is damaged, all files where nothing is said."""
    may_be_empty: bool = field(default=False)
    """Whether nothing is raised, as what cannot be read is left aside."""
    sign: Callable[[Folder], None] = field(default=lambda folder: None)
    """What a stranger would do so that checksums hold."""

    @property
    def damaged(self) -> tuple[str, ...]:
        return self.targets or tuple(self.files)


def seeds(folder: Folder) -> Iterator[Seed]:
    """Give every seed; files are made in a folder."""
    for make in (_images, _companions, _psfs, _tables, _asdf_files, _learned, _batches, _small):
        yield from make(folder)


def observation() -> Observation:
    noise = np.random.default_rng(4).normal(size=(1, *SHAPE))
    return Observation.from_arrays(noise, gaussian_psf(3.0), np.ones_like(noise), channels=["g"], name="HSC", wcs=WCS)


def _fits(folder: Folder, *hdus: Any) -> bytes:
    path = folder / "made.fits"
    fits.HDUList(list(hdus)).writeto(path, overwrite=True)
    return path.read_bytes()


def _noise(*shape: int, kind: str = "f4") -> np.ndarray:
    drawn: np.ndarray = np.random.default_rng(3).normal(size=shape or SHAPE).astype(kind)
    return drawn


def _header(**cards: Any) -> fits.Header:
    header = WCS.to_header()
    header.update(cards)
    return header


def _read_image(**options: Any) -> Read:
    def read(folder: Folder) -> Any:
        name = next(p for p in sorted(folder.iterdir()) if p.name.startswith("a."))
        return read_observations(name, **{"psf": PSF, **options})

    return read


def _images(folder: Folder) -> Iterator[Seed]:
    plain = _fits(folder, fits.PrimaryHDU(_noise(), _header(BUNIT="nJy", FILTER="g", SEEING=0.6, MAGZERO=27.0)))
    mask = fits.ImageHDU(np.zeros(SHAPE, "i4"), fits.Header({"MP_BAD": 0, "MP_SAT": 1}), name="MASK")
    lsst = _fits(
        folder,
        fits.PrimaryHDU(),
        fits.ImageHDU(_noise(), _header(), name="IMAGE"),
        mask,
        fits.ImageHDU(np.ones(SHAPE, "f4"), name="VARIANCE"),
    )
    cards = _header(
        TELESCOP="HST", INSTRUME="ACS", FILTER1="F814W", PHOTFLAM=7e-20, PHOTPLAM=8040.0, BUNIT="ELECTRONS/S"
    )
    sip = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6, "B_0_2": 1e-6, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    hubble = _fits(
        folder,
        fits.PrimaryHDU(None, cards),
        fits.ImageHDU(_noise(), _header(**sip), name="SCI"),
        fits.ImageHDU(np.ones(SHAPE, "f4"), name="WHT"),
        fits.ImageHDU(np.zeros(SHAPE, "i2"), name="DQ"),
    )
    whole = (1000 * _noise()).astype("i2")
    cube = _fits(folder, fits.PrimaryHDU(_noise(2, *SHAPE), _header(BANDS="gr", SURVEY="LegacySurvey", BUNIT="nmgy")))
    counts = _fits(folder, fits.PrimaryHDU(whole, _header(BLANK=-32768, SATURATE=3000.0, **{"MJD-OBS": 57000.0})))
    packed = _fits(
        folder, fits.PrimaryHDU(), fits.CompImageHDU(_noise(), _header(BUNIT="nJy"), compression_type="RICE_1")
    )
    sky = Table(
        {"ALLSKY": np.zeros((1, 3, 3), "f4"), "XINTERP": np.zeros((1, SHAPE[1])), "YINTERP": np.zeros((1, SHAPE[0]))}
    )
    sloan = _fits(
        folder,
        fits.PrimaryHDU(_noise(), _header(CAMCOL=3, RUN=2000, FILTER="r", BUNIT="nanomaggy")),
        fits.ImageHDU(np.ones(SHAPE[1], "f4")),
        fits.BinTableHDU(sky),
    )
    f, b = m.damaged_fits, m.damaged_bytes
    yield Seed("image", {"a.fits": plain}, (f, f, b), _read_image())
    yield Seed("image, its own seeing", {"a.fits": plain}, (f,), _read_image(psf=None))
    yield Seed("image, a piece", {"a.fits": lsst}, (f, b), _read_image(cutout="3:15,4:20"))
    yield Seed("image, a piece of the sky", {"a.fits": plain}, (f,), _read_image(cutout="150.0 2.2 2"))
    yield Seed("overview", {"a.fits": lsst}, (f, b), lambda d: list(overviews(d / "a.fits")))
    yield Seed("LSST", {"a.fits": lsst}, (f, b), _read_image())
    yield Seed("Hubble", {"a.fits": hubble}, (f, b), _read_image())
    yield Seed("cube", {"a.fits": cube}, (f, b), _read_image())
    yield Seed("counts", {"a.fits": counts}, (f, b), _read_image())
    yield Seed("tiles", {"a.fits.fz": packed}, (f, b), _read_image())
    yield Seed("tiles, a piece", {"a.fits.fz": packed}, (f, b), _read_image(cutout="3:15,4:20"))
    yield Seed("SDSS", {"a.fits": sloan}, (f, b), _read_image())
    for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress)):
        yield Seed(f"packed {ending}", {f"a.fits{ending}": pack(plain)}, (b, _inside(ending)), _read_image())


def _inside(ending: str) -> m.Mutation:
    pack, unpack = (gzip.compress, gzip.decompress) if ending == ".gz" else (bz2.compress, bz2.decompress)
    return lambda data, rng: pack(m.damaged_fits(unpack(data), rng))


def _companions(folder: Folder) -> Iterator[Seed]:
    image = _fits(folder, fits.PrimaryHDU(_noise(), _header(BUNIT="nJy", FILTER="g")))
    beside = _fits(folder, fits.PrimaryHDU(np.ones(SHAPE, "f4"), _header()))
    bits = _fits(folder, fits.PrimaryHDU(np.zeros(SHAPE, "i4"), _header()))
    f, b = m.damaged_fits, m.damaged_bytes

    def given(**options: str) -> Read:
        return lambda d: read_observations(d / "a.fits", psf=PSF, **{k: f"{v}" % d for k, v in options.items()})

    files = {"a.fits": image, "w.fits": beside}
    for kind in ("ivar", "rms", "variance", "weight", "exposure"):
        yield Seed(f"weights, {kind}", files, (f, b), given(weights=f"{kind}:%s/w.fits"), ("w.fits",))
    yield Seed("mask", {"a.fits": image, "m.fits": bits}, (f, b), given(mask="%s/m.fits"), ("m.fits",))
    regions = b'# Region file format: DS9\nimage\ncircle(8,9,3)\npolygon(1,1,5,1,5,5)\nfk5\nbox(150.0,2.2,1",2",30)\n'
    yield Seed(
        "mask of regions", {"a.fits": image, "m.reg": regions}, (m.damaged_text, b), given(mask="%s/m.reg"), ("m.reg",)
    )
    found = {
        "brick-image-g.fits": image,
        "brick-invvar-g.fits": beside,
        "brick-maskbits.fits": bits,
        "brick-psfsize-g.fits": beside,
    }
    yield Seed("brick", found, (f, b), read_observations, tuple(found)[1:])


def _psfs(folder: Folder) -> Iterator[Seed]:
    stamp = gaussian_psf(3.0).astype("f4")
    side = stamp.shape[0]
    own = _fits(folder, fits.PrimaryHDU(stamp, fits.Header({"PIXELSCL": 0.084, "OVERSAMP": 2, "SAMPLING": 0.5})))
    grid = fits.Header({"OVERSAMP": 2, "DET_YX0": "(0.0, 0.0)", "DET_YX1": "(0.0, 20.0)"})
    cards = {"NXPSFS": 2, "NYPSFS": 1, "IPSFX01": 1, "IPSFX02": 20, "JPSFY01": 1}
    sheet = fits.ImageHDU(np.concatenate([stamp, stamp]), fits.Header({"STMPSIZE": side, "SAMPLING": 0.5}))
    middle = side // 2 + 1.0
    places = Table({"X_CENTER": [middle] * 2, "Y_CENTER": [middle, side + middle], "X": [1.0, 9.0], "Y": [2.0, 8.0]})
    model = fits.BinTableHDU.from_columns(
        [fits.Column("PSF_MASK", f"{3 * side * side}E", dim=f"({side},{side},3)", array=np.stack([stamp] * 3)[None])],
        header=fits.Header(
            {"POLNAXIS": 2, "POLNAME1": "X_IMAGE", "POLNAME2": "Y_IMAGE", "POLZERO1": 10.0, "POLZERO2": 10.0,
             "POLSCAL1": 50.0, "POLSCAL2": 50.0, "POLDEG1": 1, "PSF_SAMP": 0.7}
        ),
        name="PSF_DATA",
    )  # fmt: skip
    made = {
        "PSF stamp": own,
        "PSF grid": _fits(folder, fits.PrimaryHDU(np.stack([stamp, stamp]), grid)),
        "STDPSF": _fits(folder, fits.PrimaryHDU(np.stack([stamp, stamp]), fits.Header(cards))),
        "PSF stack": _fits(folder, fits.PrimaryHDU(), sheet, fits.BinTableHDU(places)),
        "PSFEx": _fits(folder, fits.PrimaryHDU(), model),
    }
    image = _fits(folder, fits.PrimaryHDU(_noise(), _header(BUNIT="nJy", FILTER="g")))
    for name, data in made.items():
        files = {"a.fits": image, "p.fits": data}
        read: Read = lambda d: read_observations(d / "a.fits", psf=d / "p.fits")  # noqa: E731
        yield Seed(name, files, (m.damaged_fits, m.damaged_fits, m.damaged_bytes), read, ("p.fits",))


def _tables(folder: Folder) -> Iterator[Seed]:
    seen = observation()
    table = Table({"x": [3.5, 7.0], "y": [4.0, 9.25], "ra": [150.0, 150.0004], "dec": [2.2, 2.2003], "id": ["a", "b"]})
    gaia = Table({"ra": [150.0, 150.0004], "dec": [2.2, 2.2003], "pmra": [3.0, -4.0], "pmdec": [1.0, 2.0],
                  "ref_epoch": [2016.0, 2016.0], "source_id": [12, 13], "mag_g": [18.0, 19.0]})  # fmt: skip
    curve = Table({"wavelength": [4000.0, 5000.0, 6000.0, 7000.0], "transmission": [0.0, 0.5, 0.6, 0.0]})
    endings = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".vot": "votable", ".txt": "ascii"}
    endings |= {".parquet": "parquet"}
    readers: dict[str, tuple[Table, Callable[[Path], Any]]] = {
        "peaks": (table, lambda path: read_positions(path, seen)),
        "stars": (gaia, lambda path: read_stars(path, [seen])),
        "passband": (curve, read_passband),
        "template": (curve, read_template),
    }
    for what, (content, read) in readers.items():
        for ending, kind in endings.items():
            path = folder / f"made{ending}"
            content.write(path, format=kind, overwrite=True)
            damage: tuple[m.Mutation, ...] = (m.damaged_text, m.damaged_bytes)
            damage = {".fits": (m.damaged_fits, m.damaged_bytes), ".parquet": (m.damaged_bytes,)}.get(ending, damage)
            of_ending: Read = lambda d, ending=ending, read=read: read(d / f"t{ending}")  # noqa: E731
            yield Seed(f"{what}{ending}", {f"t{ending}": path.read_bytes()}, damage, of_ending)
    regions = b"# Region file format: DS9\nglobal color=green\nimage\ncircle(8,9,3) # text={a}\nfk5\npoint(150.0,2.2)\n"
    read_it: Read = lambda d: read_positions(d / "t.reg", seen)  # noqa: E731
    yield Seed("peaks of regions", {"t.reg": regions}, (m.damaged_text, m.damaged_bytes), read_it)


def session(folder: Folder) -> Session:
    """Return work of two sources with a history and a fit."""
    seen = observation()
    scene = Scene(seen.grid, seen.channels)
    first = scene.add(make_source("point", 8.0, 9.0, n_channels=1, flux=[20.0], radius=5))
    second = first.add(make_source("free-form", 14.0, 15.0, n_channels=1, flux=[30.0], radius=6))
    run = Run(1e9, Session(scene, (seen,)).settings, (seen,), first, (), (1.2, 1.1), second, 1.1, "Done.")
    return Session(second, (seen,), (second.sources[0].id,), undo=(Step("Add", first, (), (seen,)),), runs=(run,))


def _asdf_files(folder: Folder) -> Iterator[Seed]:
    import asdf

    work = session(folder)
    write_session(folder / "work.asdf", work)
    whole = (folder / "work.asdf").read_bytes()
    yield Seed(
        "session",
        {"work.asdf": whole},
        (m.damaged_asdf, m.damaged_asdf, m.damaged_bytes),
        lambda d: read_session(d / "work.asdf"),
    )
    image = folder / "a.fits"
    image.write_bytes(_fits(folder, fits.PrimaryHDU(np.tile(_noise(), (3, 3)), _header(BUNIT="nJy", FILTER="g"))))
    reading = Reading.of([str(image)], [PSF])
    (seen,) = reading.read()
    away = Session(
        Scene(seen.grid, seen.channels), (seen,), reading=reading, files=files_of([image]), holds_images=False
    )
    write_session(folder / "away.asdf", away)
    files = {"away.asdf": (folder / "away.asdf").read_bytes(), "a.fits": image.read_bytes()}
    yield Seed(
        "session that refers", files, (m.damaged_asdf,), lambda d: read_session(d / "away.asdf", d), ("away.asdf",)
    )
    tree = {"roman": {"meta": {"instrument": {"optical_element": "F158"}, "photometry": {"pixel_area": 2.8e-13}},
                      "data": _noise(), "err": np.ones(SHAPE, "f4"), "dq": np.zeros(SHAPE, "u4")}}  # fmt: skip
    asdf.AsdfFile(tree).write_to(folder / "roman.asdf")
    yield Seed(
        "Roman", {"a.asdf": (folder / "roman.asdf").read_bytes()}, (m.damaged_asdf, m.damaged_bytes), _read_image()
    )
    kept = folder / "journal"
    with Journal(kept) as journal:
        journal.keep(work)
        journal.keep(replace(work, selection=()))
    both = {path.name: path.read_bytes() for path in kept.iterdir()}
    yield Seed("journal", both, (m.damaged_json_lines, m.damaged_bytes), read_journal, may_be_empty=True)


def _learned(folder: Folder) -> Iterator[Seed]:
    import jax

    from deblend.priors import read_model, write_model
    from deblend.priors.score import new_score_prior
    from deblend.priors.stamps import read_observed, read_stamps

    write_model(folder / "n.safetensors", new_score_prior(jax.random.key(1), 16, 8, 8), {"calibration_proved": False})
    files = {name: (folder / name).read_bytes() for name in ("n.safetensors", "n.json")}
    read: Read = lambda d: read_model(d / "n.safetensors")  # noqa: E731
    yield Seed("weights of a network", files, (m.damaged_safetensors,), read, ("n.safetensors",), sign=_signed)
    yield Seed("card of a network", files, (m.damaged_json,), read, ("n.json",))
    cube = np.abs(_noise(40, 16, 16)) + 0.1
    np.save(folder / "made.npy", cube)
    array = (folder / "made.npy").read_bytes()
    yield Seed("stamps.npy", {"s.npy": array}, (m.damaged_bytes, m.damaged_text), lambda d: read_stamps(d / "s.npy", 1))
    stamps = _fits(folder, fits.PrimaryHDU(cube))
    yield Seed("stamps.fits", {"s.fits": stamps}, (m.damaged_fits,), lambda d: read_observed(d / "s.fits"))


def _signed(folder: Folder) -> None:
    """Have the card of a model tell the hash of what lies there, so that what is behind that check is reached."""
    card = json.loads((folder / "n.json").read_text())
    card["weights_sha256"] = sha256((folder / "n.safetensors").read_bytes()).hexdigest()
    (folder / "n.json").write_text(json.dumps(card))


def _batches(folder: Folder) -> Iterator[Seed]:
    from deblend.batch import Batch, Frame, Result, Settings, results_in, tiles_of
    from deblend.batch.journal import Journal as BlendJournal
    from deblend.batch.plan import Plan, read_plan
    from deblend.batch.survey import Sources

    made = folder / "batch"
    image = folder / "a.fits"
    settings = json.loads(json.dumps(asdict(Settings()), default=lambda value: value.value))
    said: dict[str, Any] = {"settings": settings,
            "opened": [{"paths": [str(image)], "options": {"psf": PSF}, "name": "a"}]}  # fmt: skip
    said["tiles"] = [tile.identity for tile in tiles_of([str(image)], {"psf": PSF})]
    yield Seed("batch, input", {"input.json": json.dumps(said).encode()}, (m.damaged_json,), Batch.opened)
    place, nothing = np.array([10.0, 40.0]), np.zeros(2, int)
    sources = Sources(**{
        name: {"owned": np.ones(2, bool), "tile": nothing, "group": np.arange(2)}.get(name, place.copy())
        for name in Sources.__dataclass_fields__
    })  # fmt: skip
    channels = observation().channels
    with BlendJournal(made) as journal:
        for number in range(3):
            journal.keep(
                Result(number, 0, (0, 0), 32, (number,), columns={"flux": place}, model=np.ones((1, 4, 4), "f4"))
            )
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    damage = (m.damaged_bytes, m.damaged_blends)
    yield Seed("batch, journal", files, damage, lambda d: list(results_in(d)), may_be_empty=True)
    Plan(sources, (), Frame(channels, 1.0, 1, 10)).write(made)
    yield Seed(
        "batch, plan", {"plan.npz": (made / "plan.npz").read_bytes()}, (m.damaged_bytes, m.damaged_npz), read_plan
    )


def _small(folder: Folder) -> Iterator[Seed]:
    from deblend.io import Interpretation

    preset = {"preset": 1, "name": "edge-on", "kind": "galaxy", "help": "x",
              "constraints": [{"kind": "symmetric", "strength": 0.5, "active": True, "settings": {}}]}  # fmt: skip
    kept = {"title": "a: 1 source", "process": 99999999, "started": 1.0, "is_closed": True}
    about = {"zero_point": "27", "noise_scale": "1.5"}
    try:
        from napari_deblend import kept_work, presets, remembered
    except ImportError:
        return

    def in_home(call: Callable[[], Any]) -> Read:
        def read(d: Folder) -> Any:
            import os

            before = os.environ.get(remembered.FOLDER_VARIABLE)
            os.environ[remembered.FOLDER_VARIABLE] = str(d)
            try:
                return call()
            finally:
                if before is None:
                    del os.environ[remembered.FOLDER_VARIABLE]
                else:
                    os.environ[remembered.FOLDER_VARIABLE] = before

        return read

    j = (m.damaged_json, m.damaged_bytes)
    yield Seed("preset", {"p.json": json.dumps(preset).encode()}, j, lambda d: presets.read_preset(d / "p.json"))
    own = {"presets/p.json": json.dumps(preset).encode()}
    yield Seed("presets of a person", own, j, in_home(presets.own_presets), may_be_empty=True)
    yield Seed(
        "kept work",
        {"work/w/about.json": json.dumps(kept).encode()},
        j,
        in_home(kept_work.not_saved),
        may_be_empty=True,
    )
    corrections = {
        "interpretations.json": json.dumps({"sig": about}).encode(),
        "stretch.json": b'{"name": "asinh", "soft": 1.0}',
    }

    def recalled() -> Any:
        return remembered.recall("sig"), remembered.recall_stretch(), remembered.is_tour_known()

    yield Seed("what was remembered", corrections, j, in_home(recalled), may_be_empty=True)
    del Interpretation

"""Sessions: what was written is what is read, to the last digit, and a kill loses what came after the last entry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblend import (
    Component,
    Constraint,
    CustomLaw,
    FitSettings,
    Observation,
    OwnParameter,
    PowerLaw,
    Program,
    PsfField,
    Scene,
    StarField,
    Status,
    Template,
    make_source,
    moving_sources,
    offered_constraints,
)
from deblend.io import (
    Edit,
    Journal,
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
    write_session,
)
from deblend.observe import NoiseCorrelation, gaussian_psf
from deblend.scene import MORPHOLOGIES, Link
from deblend.scene.own import own_type
from deblend.sky import Channel, TangentWcs

WCS = TangentWcs((150.0, 2.2), (20.0, 21.5), ((-0.168, 0.0), (0.0, 0.168)), 0.01)
CHANNELS = (Channel("HSC", "g", "2019-06-23"), Channel("HSC", "i", "2019-07-01"))
SHAPE = (42, 40)


def differences(a: Any, b: Any, where: str = "") -> Iterator[str]:
    """Say where two objects are not the same, types and digits and all."""
    if isinstance(a, np.ndarray):
        same_kind = isinstance(b, np.ndarray) and a.dtype == b.dtype
        if not (same_kind and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")):
            yield f"{where}: {a} is not {b}"
    elif type(a) is not type(b) and not (isinstance(a, Mapping) and isinstance(b, Mapping)):
        yield f"{where}: {type(a)} is not {type(b)}"
    elif is_dataclass(a):
        for field in fields(a):
            yield from differences(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, Mapping):
        yield from differences(list(a), list(b), f"{where} keys")
        for key in a:
            yield from differences(a[key], b[key], f"{where}[{key}]")
    elif isinstance(a, tuple | list):
        if len(a) != len(b):
            yield f"{where}: {len(a)} is not {len(b)}"
        for k, (x, y) in enumerate(zip(a, b, strict=False)):
            yield from differences(x, y, f"{where}[{k}]")
    elif a != b and not (a != a and b != b):
        yield f"{where}: {a} is not {b}"


def assert_same(a: Any, b: Any) -> None:
    assert list(differences(a, b)) == []


@pytest.fixture
def observation(rng: np.random.Generator) -> Observation:
    """An observation of which nothing is plain: masked, correlated, with a PSF that varies and is oversampled."""
    images = rng.normal(size=(2, *SHAPE))
    images[0, 3, 4] = np.nan
    places = np.array([[0.0, 0.0], [39.0, 0.0], [0.0, 41.0], [39.0, 41.0]])
    psfs = [[gaussian_psf(3.0 + 0.2 * k), gaussian_psf(3.5 + 0.1 * k)] for k in range(4)]
    psf, _ = PsfField.from_stamps(places, psfs, ["g", "i"], oversampling=1)
    seen = Observation.from_arrays(images, psf, channels=CHANNELS, name="HSC", wcs=WCS, unit="count", njy_per_unit=57.5)
    lags = np.zeros((2, 3, 3))
    lags[:, 1, 1], lags[:, 1, [0, 2]] = 1.0, 0.2
    return replace(seen, noise_correlation=NoiseCorrelation.of_lags(lags))


def everything(observation: Observation, rng: np.random.Generator) -> Scene:
    """A scene with a source of every kind, and whatever else can be said of one."""
    scene = Scene(observation.grid, CHANNELS)
    for k, label in enumerate(MORPHOLOGIES):
        flux = None if k == 1 else 10 ** rng.normal(3, 1, 2)
        scene = scene.add(make_source(label, *rng.uniform(5, 30, 2), n_channels=2, flux=flux, name=f"{label} α"))
    first, second, *_ = scene.sources
    locked = first.with_status(Status.LOCKED).following(PowerLaw())
    offered = [Constraint(kind, active=bool(k % 2)) for k, kind in enumerate(offered_constraints())]
    component: Component = second.components[0]
    second = replace(
        second, components=(replace(component, morphology=replace(component.morphology, constraints=tuple(offered))),)
    )
    scene = scene.replace(locked, second).add(*moving_sources(CHANNELS, 10.0, 11.0, (0.1, -0.3)))
    template = Template.of(np.linspace(3000, 9000, 200), rng.uniform(1, 2, 200))
    scene = scene.add(make_source("gaussian", 8.0, 9.0, n_channels=2, law=template, radius=7))
    members = tuple((s.id, 0) for s in scene.sources if "ellipticity" in s.components[0].morphology.parameters)[:2]
    stars = StarField.at([3.0, 4.5], [5.0, 6.0], 2).with_flux(np.array([[np.nan, 2.0], [3.0, 4.0]]))
    return replace(
        scene.hosted(scene.sources[3].id, scene.sources[4].id)
        .calibrating("shift", "rotation")
        .with_stars(stars)
        .with_full_scene(),
        links=(Link("ellipticity", members),),
    )


@pytest.fixture
def session(observation: Observation, rng: np.random.Generator) -> Session:
    scene = everything(observation, rng)
    before = Scene(observation.grid, CHANNELS).add(*scene.sources[:3])
    cut = replace(observation, name="a piece")
    undo = (Step("Add 1", Scene(observation.grid, CHANNELS), (), (cut,)), Step("Add 2", before, (), (observation,)))
    redo = (Step("Détect", scene, (scene.sources[1].id,), (observation,)),)
    settings = FitSettings(max_iterations=7, tolerance=0.1 + 0.2)
    return Session(scene, (observation,), (scene.sources[0].id,), settings, undo, redo)


def test_a_session_comes_back_as_it_was(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "work.asdf"
    write_session(path, session)
    assert is_session(path)
    again = read_session(path)
    assert_same(session, again)
    # what steps share they share again, or a long history would fill the memory
    assert again.redo[0].observations[0] is again.observations[0] is again.undo[1].observations[0]
    assert again.undo[1].scene.sources[2] is again.redo[0].scene.sources[2]
    write_session(path, again)
    assert_same(read_session(path), session)
    assert [p.name for p in path.parent.iterdir()] == ["work.asdf"]


def test_a_session_is_text_that_a_person_can_read(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "work.asdf"
    write_session(path, session)
    text = path.read_bytes().split(b"\n...")[0].decode()
    assert "napari_deblend:" in text and "half_light_radius" in text and "point α" in text
    assert b"pickle" not in path.read_bytes()


def test_the_journal_keeps_only_what_is_new(session: Session, tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.keep(session)
        size = sum(path.stat().st_size for path in tmp_path.iterdir())
        moved = session.scene.moved({session.scene.sources[5].id: (12.25, 13.5)})
        later = replace(
            session, scene=moved, undo=(*session.undo, Step("Move", session.scene, (), session.observations))
        )
        journal.keep(later)
        grown = sum(path.stat().st_size for path in tmp_path.iterdir()) - size
    assert grown < 0.05 * size
    assert_same(read_journal(tmp_path), later)


def test_a_journal_that_was_cut_off_anywhere_gives_the_work_before(session: Session, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with Journal(first) as journal:
        journal.keep(session)
        lines, arrays = ((first / name).read_bytes() for name in ("journal-0.jsonl", "arrays-0.bin"))
        journal.keep(replace(session, selection=()))
        all_lines = (first / "journal-0.jsonl").read_bytes()
    second.mkdir()
    (second / "arrays-0.bin").write_bytes(arrays)
    for end in np.linspace(len(lines), len(all_lines) - 2, 9, dtype=int):
        (second / "journal-0.jsonl").write_bytes(all_lines[:end])
        assert_same(read_journal(second), session)
    # cut off before the first entry was whole, and with arrays that never reached the disk
    (second / "journal-0.jsonl").write_bytes(lines[:-2])
    assert read_journal(second) is None
    (second / "journal-0.jsonl").write_bytes(lines)
    (second / "arrays-0.bin").write_bytes(arrays[:-1])
    assert read_journal(second) is None
    assert read_journal(tmp_path / "nowhere") is None


def test_a_long_journal_is_begun_anew(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deblend.io.session.journal.LONG", 10_000)
    sizes = []
    with Journal(tmp_path) as journal:
        for k in range(40):
            scene = replace(session.scene, sources=tuple(replace(s) for s in session.scene.sources))
            last = replace(session, scene=scene, selection=(scene.sources[k % 3].id,))
            journal.keep(last)
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert max(sizes) < 6 * sizes[0]
    assert len(list(tmp_path.iterdir())) <= 4
    assert_same(read_journal(tmp_path), last)


@pytest.mark.skipif(os.name != "posix", reason="kills a process as POSIX does")
def test_work_survives_a_kill(tmp_path: Path) -> None:
    code = """
        import sys, itertools
        from pathlib import Path
        import numpy as np
        from deblend import Observation, Scene, make_source
        from deblend.io import Journal, Session
        from deblend.observe import gaussian_psf

        seen = Observation.from_arrays(np.zeros((1, 9, 9)), [gaussian_psf(3.0)], np.ones((1, 9, 9)), channels=["i"])
        source = make_source("free-form", 0.0, 4.0, n_channels=1, flux=[1.0])
        scene = Scene(seen.grid, seen.channels).add(source)
        journal = Journal(Path(sys.argv[1]))
        for k in itertools.count():
            journal.keep(Session(scene.moved({source.id: (k, 4.0)}), (seen,)))
            print(k, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "journal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    session = read_journal(tmp_path / "journal")
    assert session is not None
    # nothing that was said to be kept is lost; one more entry may have been
    assert session.scene.sources[0].x - int(told[-1]) in (0, 1)


def test_code_is_not_kept_and_says_so(session: Session, tmp_path: Path) -> None:
    law = CustomLaw(function=lambda wavelengths: wavelengths)
    scene = session.scene.replace(session.scene.sources[2].following(law))
    with pytest.raises(ValueError, match=r"work.asdf: the session cannot be written: A CustomLaw .* is code; give"):
        write_session(tmp_path / "work.asdf", replace(session, scene=scene))
    assert not list(tmp_path.iterdir())
    with Journal(tmp_path) as journal:
        journal.keep(session)
        with pytest.raises(TypeError, match="CustomLaw"):
            journal.keep(replace(session, scene=scene))
        assert_same(read_journal(tmp_path), session)
        journal.keep(replace(session, selection=()))
    assert_same(read_journal(tmp_path), replace(session, selection=()))


def test_a_morphology_of_ones_own_needs_to_be_registered(session: Session, tmp_path: Path) -> None:
    path, label = tmp_path / "work.asdf", "halo of mine"
    own = own_type(label, {"radius": OwnParameter(1.0, lower=0.1, is_size=True)})
    source = session.scene.sources[2]
    component = replace(source.components[0], morphology=own.start(3.0, 15))
    work = replace(session, scene=session.scene.replace(replace(source, components=(component,))))
    MORPHOLOGIES[label] = own
    try:
        write_session(path, work)
        assert_same(read_session(path), work)
    finally:
        del MORPHOLOGIES[label]
    with pytest.raises(ValueError, match=rf"'{label}' is of a person's own; register it before"):
        read_session(path)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda b: b"", "cannot be read as a session"),
        (lambda b: b[: len(b) // 2], "cannot be read as a session"),
        (lambda b: b.replace(b"version: 1", b"version: 2"), "written by a newer version, napari-deblend .*; update"),
        (lambda b: b.replace(b"Calibration:", b"Calibratiom:"), "'Calibratiom', which this version does not know"),
        (lambda b: b.replace(b"is_box_held:", b"is_box_hold:"), "says is_box_hold, which this version does not know"),
        (lambda b: b.replace(b"napari_deblend:", b"napari_debland:"), "it holds none"),
    ],
)
def test_a_damaged_session_is_said(session: Session, tmp_path: Path, damage: Any, sentence: str) -> None:
    path = tmp_path / "work.asdf"
    write_session(path, session)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"work.asdf: .*{sentence}"):
        read_session(path)


def test_a_session_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no\.asdf: there is no such session; check the path"):
        read_session(tmp_path / "no.asdf")
    assert not is_session(tmp_path / "no.asdf")


def test_a_session_tells_which_of_its_files_have_changed(session: Session, tmp_path: Path) -> None:
    for name in ("same.fits", "changed.fits", "gone.fits"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    files = files_of([tmp_path / "same.fits", tmp_path / "changed.fits", tmp_path / "gone.fits", "gaussian:0.7"])
    write_session(tmp_path / "work.asdf", replace(session, files=files))
    again = read_session(tmp_path / "work.asdf")
    assert again.files == files and changes_of(again.files) == []
    # of the same length: only the hash tells
    (tmp_path / "changed.fits").write_bytes(b"CHANGED.fits" * 1000)
    (tmp_path / "gone.fits").unlink()
    changed, gone = changes_of(again.files)
    assert changed.startswith("changed.fits has changed since it was read")
    assert gone.startswith("gone.fits is no longer at")


def test_runs_come_back_and_are_done_again_alike(tmp_path: Path, rng: np.random.Generator) -> None:
    """With an edit in the middle; from a file, in the program of the command."""
    y, x = np.mgrid[:40, :44]
    image = 300 / (2 * np.pi * 4) * np.exp(-((x - 20) ** 2 + (y - 18) ** 2) / 8)
    seen = Observation.from_arrays(image[None] + rng.normal(size=(1, 40, 44)), gaussian_psf(3.0), channels=["g"])
    start = Program([seen], Scene(seen.grid, seen.channels).place("gaussian", (20.7, 18.3), radius=9)).scene
    settings = FitSettings(max_iterations=9, tolerance=1e-12)
    edited = start.place("point", (33.0, 30.0))
    end = fit_again(Program([seen], start, standard_groups=True), start, settings, 5, [Edit(2, edited)])
    curve = (1.0,) * 5
    run = Run(1e9, settings, (seen,), start, (Edit(2, edited),), curve, end, 1.0, "Done.")
    write_session(tmp_path / "work.asdf", Session(end, (seen,), runs=(run,)))
    again = read_session(tmp_path / "work.asdf")
    assert again.runs[0].end.sources[0].id == end.sources[0].id and again.runs[0].curve == curve
    told: list[int] = []
    (found,) = replay(again, lambda done, total: told.append(done))
    assert told == [1, 2, 3, 4, 5] and len(found) == 2
    np.testing.assert_allclose(found.fluxes, end.fluxes, rtol=1e-6)
    with pytest.raises(ValueError, match="knows of no fit"):
        replay(replace(again, runs=()))

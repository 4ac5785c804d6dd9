"""The thread behind the window, with the real engine and without a window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from deblend import FitSettings, Observation, Scene, make_source
from deblend.detect import empty_scene
from napari_deblend.machine import Frame, Machine, Picture, PictureKind
from napari_deblend.runner import ERROR, FRAME, Mailbox, Phase, Runner, sentence_of

MODEL, RESIDUAL = Picture(PictureKind.MODEL, 0), Picture(PictureKind.RESIDUAL, 0)


def scene_of(observation: Observation, *places: tuple[float, float]) -> Scene:
    n = len(observation.channels)
    return empty_scene([observation]).add(*(make_source("point", x, y, n_channels=n) for x, y in places))


@pytest.fixture
def scene(observation: Observation) -> Scene:
    return scene_of(observation, (20.0, 24.0), (34.0, 30.0), (47.0, 41.0))


@pytest.fixture
def runner(observation: Observation, scene: Scene) -> Iterator[Runner]:
    runner = Runner([observation], scene, revision=1)
    yield runner
    runner.close()
    assert not runner.is_alive
    assert runner.phase is Phase.CLOSED


class Reader:
    """Takes news until what is waited for is there; keeps all it has seen."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.frames: list[Frame] = []
        self.news: dict[str, Any] = {}

    def until(self, condition: Callable[[], object], timeout: float = 90.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"waited {timeout} s in vain; {self._runner.phase}, {self.news}"
            news = self._runner.mailbox.take()
            if FRAME in news:
                self.frames.append(news[FRAME])
            self.news |= news
            time.sleep(0.002)

    def frame(self, revision: int) -> Frame:
        self.until(lambda: self.frames and self.frames[-1].revision == revision)
        return self.frames[-1]

    def end_of_run(self) -> Frame:
        self.until(lambda: self.frames and self.frames[-1].sentence and not self._runner.is_running)
        return self.frames[-1]


def test_a_machine_without_memory_keeps_the_best_state_and_goes_on(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What XLA raises comes as a sentence; the scene is that of the best state, and the next fit works."""
    reader, step = Reader(runner), Machine.step
    reader.frame(1)
    taken: list[int] = []

    def failing(machine: Machine) -> None:
        taken.append(1)
        if len(taken) == 3:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.")
        step(machine)

    monkeypatch.setattr(Machine, "step", failing)
    runner.run(FitSettings(max_iterations=8, tolerance=1e-9))
    reader.until(lambda: ERROR in reader.news)
    assert reader.news[ERROR].startswith("There is not enough memory for this; close") and "kept" in reader.news[ERROR]
    end = reader.end_of_run()
    assert "The best state is kept, after 1 iteration." in end.sentence
    assert len(end.past) == 1 and end.scene is end.past[0].run.end and np.all(np.isfinite(end.scene.fluxes))
    reader.frames.clear()
    runner.run(FitSettings(max_iterations=2, tolerance=1e-9))
    assert "limit" in reader.end_of_run().sentence


def test_the_mailbox_keeps_the_newest_of_each_kind() -> None:
    mailbox = Mailbox()
    for number in range(5):
        mailbox.post("a", number)
    mailbox.post("b", "once")
    assert mailbox.take() == {"a": 4, "b": "once"}
    assert mailbox.take() == {}


def test_an_edit_is_answered_with_solved_fluxes_and_the_wanted_pictures(
    runner: Runner, observation: Observation
) -> None:
    runner.want(frozenset({MODEL, RESIDUAL}))
    reader = Reader(runner)
    reader.until(lambda: reader.frames and MODEL in reader.frames[-1].pictures)
    frame = reader.frames[-1]
    assert frame.revision == 1
    assert frame.scene.is_solved
    assert frame.pictures[MODEL].shape == observation.images.shape
    residual = (observation.images - frame.pictures[MODEL]) * np.sqrt(observation.weights)
    np.testing.assert_allclose(frame.pictures[RESIDUAL], residual, atol=1e-3)


def test_only_what_is_wanted_is_made(runner: Runner) -> None:
    reader = Reader(runner)
    assert reader.frame(1).pictures == {}
    component = Picture(PictureKind.COMPONENT, 0, reader.frames[-1].scene.sources[1].id)
    runner.want(frozenset({component}))
    reader.until(lambda: reader.frames[-1].pictures)
    assert set(reader.frames[-1].pictures) == {component}


def test_of_many_edits_the_newest_wins(runner: Runner, scene: Scene) -> None:
    reader = Reader(runner)
    reader.frame(1)
    source = scene.sources[0]
    for step in range(200):
        runner.edit(2 + step, scene.replace(source.moved(20.0 + 0.01 * step, 24.0)))
    frame = reader.frame(201)
    assert frame.scene[source.id].x == pytest.approx(20.0 + 0.01 * 199)
    assert len(reader.frames) < 100


def test_a_fit_that_is_to_follow_an_edit_counts_as_begun(
    runner: Runner, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a person, or a round of detection, could begin it a second time while the edit is worked on."""
    reader = Reader(runner)
    reader.frame(1)
    edit, seen = Machine.edit, []

    def watched(machine: Machine, revision: int, scene: Scene) -> None:
        seen.append(runner.is_running)
        edit(machine, revision, scene)

    monkeypatch.setattr(Machine, "edit", watched)
    with runner._wake:
        runner.edit(2, scene.replace(scene.sources[0].moved(20.3, 24.0)))
        runner.run(FitSettings())
    reader.end_of_run()
    assert seen == [True]


def test_a_fit_runs_to_its_end_and_says_how(runner: Runner) -> None:
    reader = Reader(runner)
    reader.frame(1)
    runner.run(FitSettings())
    frame = reader.end_of_run()
    assert frame.iteration >= 1
    assert len(frame.curve) == frame.iteration + 1
    assert frame.chi2 <= frame.curve[0] * 1.001
    assert "The best state is kept" in frame.sentence
    assert runner.phase is Phase.IDLE


def test_pause_waits_and_resume_goes_on(runner: Runner) -> None:
    reader = Reader(runner)
    reader.frame(1)
    runner.run(ENDLESS)
    reader.until(lambda: reader.frames[-1].iteration >= 1)
    runner.pause()
    reader.until(lambda: runner.phase is Phase.PAUSED)
    runner.mailbox.take()
    time.sleep(0.2)
    assert FRAME not in runner.mailbox.take()
    before = reader.frames[-1].iteration
    runner.pause(False)
    reader.until(lambda: reader.frames[-1].iteration > before + 1 or reader.frames[-1].sentence)


def test_cancel_keeps_the_best(runner: Runner) -> None:
    reader = Reader(runner)
    reader.frame(1)
    runner.run(ENDLESS)
    runner.pause()
    reader.until(lambda: runner.phase is Phase.PAUSED)
    runner.cancel()
    frame = reader.end_of_run()
    assert "stopped by hand" in frame.sentence
    assert frame.scene.is_solved
    assert frame.chi2 <= min(frame.curve, default=np.inf) * (1 + 1e-6)


def test_an_edit_while_it_runs_carries_on_from_it(runner: Runner, scene: Scene) -> None:
    reader = Reader(runner)
    reader.frame(1)
    runner.run(ENDLESS)
    runner.pause()
    reader.until(lambda: runner.phase is Phase.PAUSED)
    iteration = reader.frames[-1].iteration
    edited = scene.remove(scene.sources[0].id)
    runner.edit(2, edited)
    frame = reader.frame(2)
    assert len(frame.scene) == 2
    assert runner.phase is Phase.PAUSED
    runner.pause(False)
    reader.until(lambda: reader.frames[-1].iteration > iteration or reader.frames[-1].sentence)
    assert len(reader.frames[-1].scene) == 2


def test_a_fit_that_is_cancelled_before_it_began_never_begins(runner: Runner) -> None:
    reader = Reader(runner)
    runner.run(FitSettings())
    runner.cancel()
    reader.frame(1)
    time.sleep(0.1)
    assert not runner.is_running
    assert reader.frames[-1].curve == ()


def test_a_job_runs_in_the_thread_and_its_result_is_posted(runner: Runner) -> None:
    reader = Reader(runner)

    def job(machine: Machine) -> str:
        import threading

        return f"{len(machine.scene)} in {threading.current_thread().name}"

    runner.submit("count", job)
    reader.until(lambda: "count" in reader.news)
    assert reader.news["count"] == "3 in deblend machine"


def test_an_error_is_one_sentence_and_the_thread_lives_on(runner: Runner, scene: Scene) -> None:
    reader = Reader(runner)

    def job(machine: Machine) -> None:
        raise ValueError("catalog.ecsv: the disk is full; free some space.")

    runner.submit("write", job)
    reader.until(lambda: ERROR in reader.news)
    assert reader.news[ERROR] == "catalog.ecsv: the disk is full; free some space."
    runner.edit(2, scene.remove(scene.sources[0].id))
    assert len(reader.frame(2).scene) == 2


def test_an_unexpected_error_is_named_but_not_thrown_at_the_person() -> None:
    assert "TypeError: no such thing" in sentence_of(TypeError("no such thing\nsecond line"))
    assert "second line" not in sentence_of(TypeError("no such thing\nsecond line"))
    assert sentence_of(ValueError("do this")) == "do this"


def test_data_that_cannot_be_prepared_say_so(observation: Observation) -> None:
    wrong = empty_scene([observation, observation]).add(make_source("point", 5, 5, n_channels=6))
    runner = Runner([observation], wrong)
    try:
        reader = Reader(runner)
        reader.until(lambda: ERROR in reader.news)
        runner.submit("count", lambda machine: len(machine.program.scene))
        reader.news.clear()
        reader.until(lambda: ERROR in reader.news)
        assert "could not be prepared" in reader.news[ERROR]
    finally:
        runner.close()


@pytest.mark.parametrize("moment", ["compiling", "running", "paused"])
def test_closing_ends_the_thread_whatever_it_does(observation: Observation, scene: Scene, moment: str) -> None:
    runner = Runner([observation], scene, revision=1)
    if moment != "compiling":
        Reader(runner).frame(1)
        runner.run(ENDLESS)
        if moment == "paused":
            runner.pause()
            end = time.monotonic() + 60
            while runner.phase is not Phase.PAUSED and time.monotonic() < end:
                time.sleep(0.01)
    runner.close()
    assert not runner.is_alive


ENDLESS = FitSettings(max_iterations=100_000, tolerance=1e-30)

"""Fits: downhill, to the truth, resumed where they ended, edited on the way, and deaf to units and to masked pixels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from deblend import (
    Constraint,
    ConstraintKind,
    FitSettings,
    FitState,
    Observation,
    Outcome,
    Parameter,
    Program,
    Scene,
    Status,
    StopRule,
    empty_scene,
    fit,
    make_source,
)
from deblend.constraints import monotonicity_residual, turned

SHARED = ("point", "galaxy", "gaussian", "sersic", "free-form")
"""Kinds that the layout of `systems` has room for."""

OFF_BY = (0.3, -0.25)
"""How far starting positions are from the truth, (x, y) [pix]."""


@pytest.fixture(scope="module")
def truth(systems: Any) -> Scene:
    return systems.one_of_each()


@pytest.fixture(scope="module")
def observation(systems: Any, truth: Scene) -> Observation:
    return systems.observe(truth)


@pytest.fixture(scope="module")
def start(systems: Any, truth: Scene) -> Scene:
    """The truth with its sources off their places, of the wrong size, and without fluxes."""
    moved = [s.moved(s.x + OFF_BY[0], s.y + OFF_BY[1]) for s in truth.sources]
    return systems.without_fluxes(truth.with_sources(s.resized(11) for s in moved))


@pytest.fixture(scope="module")
def states(systems: Any, start: Scene, observation: Observation) -> list[FitState]:
    """A whole fit."""
    return list(systems.fit(start, [observation]))


@pytest.fixture(scope="module")
def easy(systems: Any) -> Scene:
    """A star and two galaxies that overlap a little."""
    return systems.scene(
        ("point", 14.3, 15.6, (400.0, 500.0)),
        ("gaussian", 24.4, 22.7, (900.0, 1100.0), {"half_light_radius": 2.5}),
        ("sersic", 33.7, 31.2, (900.0, 700.0), {"half_light_radius": 2.2}),
    )


def test_the_loss_falls_and_so_does_chi2(states: list[FitState]) -> None:
    losses = [state.loss for state in states]
    assert all(after <= before for before, after in pairwise(losses))
    assert [state.iteration for state in states] == list(range(len(states)))
    # the priors may trade a trace of χ² for something likelier
    chi2 = [state.chi2 for state in states]
    assert all(after <= before + 1e-3 for before, after in pairwise(chi2))
    assert chi2[-1] < chi2[0]


def test_a_fit_converges_to_the_truth(states: list[FitState], truth: Scene) -> None:
    last = states[-1]
    assert last.outcome is Outcome.CONVERGED
    assert len(states) <= 30
    assert 0.9 < last.chi2 < 1.05
    for before, after in zip(truth.sources, last.scene.sources, strict=True):
        assert np.hypot(after.x - before.x, after.y - before.y) < 0.25, after.kind
        np.testing.assert_allclose(after.flux, before.flux, rtol=0.12, err_msg=after.kind)


def test_a_state_is_a_picture_of_its_own(states: list[FitState], observation: Observation) -> None:
    """Whatever the fit does later, and on whichever thread it is looked at."""
    first, last = states[0], states[-1]
    assert np.abs(first.model() - last.model()).max() > 1
    for state in (first, last):
        assert state.model().dtype == np.float32 and state.model().shape == (2, 48, 48)
        assert state.chi2 == pytest.approx(observation.chi2(state.model()) / observation.n_unmasked)
        assert state.chi2_per_observation == {"image": pytest.approx(state.chi2)}
        total = sum(state.component(row).astype(float) for row in range(5))
        np.testing.assert_allclose(total, state.model(), atol=3e-4 * state.model().max())
        np.testing.assert_allclose(
            state.residual_sigma(), (observation.images - state.model()) * np.sqrt(observation.weights), atol=1e-4
        )


def test_what_counts_as_progress_is_told(systems: Any, easy: Scene) -> None:
    seen: list[FitState] = []
    running = systems.fit(easy, [systems.observe(easy)])
    best = running.run(seen.append)
    assert best is running.best and best.loss == min(state.loss for state in seen)
    assert seen[-1] is running.state and seen[-1].outcome.is_final
    with pytest.raises(StopIteration):
        next(running)


@pytest.mark.parametrize("kinds", ["all", "easy"])
def test_a_fit_run_again_starts_where_it_ended(
    systems: Any, states: list[FitState], easy: Scene, observation: Observation, kinds: str
) -> None:
    if kinds == "all":
        last, seen = states[-1], observation
    else:
        seen = systems.observe(easy)
        last = systems.fit(easy, [seen]).run()
    again = systems.fit(last.scene, [seen])
    first = next(again)
    assert first.loss == pytest.approx(last.loss, rel=1e-6)
    assert again.run().loss <= first.loss


class TestEdits:
    """Between two states: the fit carries on."""

    @pytest.mark.parametrize("kind", SHARED)
    @pytest.mark.parametrize("place", ["on the sky", "on top of another", "at the edge"])
    def test_a_source_that_is_added_never_raises_the_loss(
        self, systems: Any, states: list[FitState], observation: Observation, kind: str, place: str
    ) -> None:
        running = systems.fit(states[-1].scene, [observation])
        before = next(running)
        x, y = {"on the sky": (24.2, 42.6), "on top of another": (24.8, 23.4), "at the edge": (0.1, 46.9)}[place]
        source = make_source(kind, x, y, n_channels=2, radius=systems.radius)
        after = running.edit(before.scene.add(source))
        assert after.loss <= before.loss * (1 + 1e-6)
        assert np.all(after.scene.fluxes >= 0)
        assert next(running).loss <= after.loss

    def test_a_fit_carries_on_from_an_edit(self, systems: Any, start: Scene, observation: Observation) -> None:
        missing = start.remove(start.sources[0].id)
        running = systems.fit(missing, [observation])
        for _ in range(3):
            state = next(running)
        edited = running.edit(state.scene.add(start.sources[0]))
        assert edited.iteration == state.iteration
        assert edited.loss < 0.7 * state.loss
        assert edited.outcome is Outcome.RUNNING
        best = running.run()
        assert best.outcome is Outcome.CONVERGED and best.chi2 < 1.05

    def test_a_removed_source_leaves_its_light_to_others(self, systems: Any, states: list[FitState],
                                                         observation: Observation) -> None:  # fmt: skip
        running = systems.fit(states[-1].scene, [observation])
        before = next(running)
        after = running.edit(before.scene.remove(before.scene.sources[0].id))
        assert len(after.scene) == 4 and after.chi2 > before.chi2
        assert running.best is after

    def test_a_converged_fit_that_is_edited_runs_again(self, systems: Any, easy: Scene) -> None:
        seen = systems.observe(easy)
        running = systems.fit(easy, [seen])
        ended = running.run()
        star = ended.scene.sources[0]
        state = running.edit(ended.scene.replace(star.moved(star.x + 0.6, star.y)))
        assert state.outcome is Outcome.RUNNING and state.loss > ended.loss
        assert running.run().loss == pytest.approx(ended.loss, rel=2e-3)


class TestWhatAPersonDecides:
    """Locks, bounds and switches are kept by every step."""

    @pytest.mark.parametrize("status", [Status.FIXED, Status.LOCKED])
    def test_what_is_not_free_does_not_move(
        self, systems: Any, start: Scene, truth: Scene, observation: Observation, status: Status
    ) -> None:
        solved = systems.program([observation], start).scene
        held = [s.with_status(status) if row != 2 else s for row, s in enumerate(solved.sources)]
        last = systems.fit(solved.with_sources(held), [observation], max_iterations=4).run()
        for row, (before, after) in enumerate(zip(held, last.scene.sources, strict=True)):
            same = np.array_equal(before.center.value, after.center.value) and np.array_equal(before.flux, after.flux)
            assert same is (row != 2), before.kind
            for name, parameter in before.components[0].morphology.parameters.items():
                value = after.components[0].morphology.parameters[name].value
                assert np.array_equal(value, parameter.value) is (row != 2), name

    def test_one_parameter_held_leaves_the_others_free(self, systems: Any, easy: Scene) -> None:
        seen = systems.observe(easy)
        sersic = easy.sources[2]
        index = Parameter(2.5, Status.FIXED, lower=0.5, upper=4.0)
        scene = easy.replace(systems.with_morphology(sersic, index=index))
        last = systems.fit(scene, [seen]).run().scene[sersic.id]
        morphology = last.components[0].morphology
        assert float(morphology.index.value) == 2.5
        assert float(morphology.half_light_radius.value) != float(
            sersic.components[0].morphology.half_light_radius.value
        )
        assert last.x != sersic.x

    def test_bounds_hold(self, systems: Any, easy: Scene) -> None:
        seen = systems.observe(easy)
        star, gaussian, sersic = easy.sources
        star = systems.with_spectrum(star, Parameter(np.array([300.0, 300.0]), lower=0.0, upper=350.0))
        size = Parameter(1.8, lower=0.3, upper=2.0)
        gaussian = systems.with_morphology(gaussian, half_light_radius=size)
        index = Parameter(2.0, lower=1.5, upper=4.0)
        sersic = systems.with_morphology(sersic, index=index)
        last = systems.fit(easy.replace(star, gaussian, sersic), [seen]).run().scene
        np.testing.assert_allclose(last.sources[0].flux, 350.0, rtol=1e-6)
        assert float(last.sources[1].components[0].morphology.half_light_radius.value) == pytest.approx(2.0, rel=1e-5)
        assert float(last.sources[2].components[0].morphology.index.value) == pytest.approx(1.5, rel=1e-5)

    @pytest.mark.parametrize("is_on", [True, False])
    def test_positivity_of_pixels_is_kept_where_it_is_on(self, systems: Any, is_on: bool) -> None:
        truth = systems.scene(("gaussian", 24.2, 23.7, (400.0, 300.0), {"half_light_radius": 2.0}))
        seen = systems.observe(truth)
        source = make_source("free-form", 24.2, 23.7, n_channels=2, radius=systems.radius)
        for kind in (ConstraintKind.SYMMETRY, ConstraintKind.MONOTONICITY):
            source = systems.with_constraint(source, Constraint(kind, active=False))
        source = systems.with_constraint(source, Constraint(ConstraintKind.POSITIVITY, active=is_on))
        last = systems.fit(truth.with_sources([source]), [seen], max_iterations=5).run()
        pixels = last.scene.sources[0].components[0].morphology.pixels.value
        assert bool(pixels.min() >= 0) is is_on
        assert pixels.max() > 0

    def test_symmetry_and_monotonicity_do_what_they_say(self, systems: Any) -> None:
        """To a free-form source that is left alone with the light of a neighbour."""
        truth = systems.scene(
            ("gaussian", 22.0, 24.0, (900.0, 900.0), {"half_light_radius": 2.0}), ("point", 29.0, 24.0, (500.0, 500.0))
        )
        seen = systems.observe(truth)
        lone = make_source("free-form", 22.0, 24.0, n_channels=2, radius=systems.radius)

        def picture(symmetry: float, monotonicity: float) -> np.ndarray:
            source = lone
            for kind, strength in ((ConstraintKind.SYMMETRY, symmetry), (ConstraintKind.MONOTONICITY, monotonicity)):
                source = systems.with_constraint(source, Constraint(kind, strength, active=strength > 0))
            last = systems.fit(truth.with_sources([source]), [seen], max_iterations=15).run()
            pixels: np.ndarray = last.scene.sources[0].components[0].morphology.pixels.value
            return pixels / pixels.sum()

        def lopsided(pixels: np.ndarray) -> float:
            return float(np.abs(pixels - turned(pixels)).sum())

        def bumpy(pixels: np.ndarray) -> float:
            return float(np.sum(monotonicity_residual(jnp.asarray(pixels), jnp.asarray(1.0))))

        free = picture(0, 0)
        assert lopsided(picture(30.0, 0)) < 0.5 * lopsided(free)
        assert bumpy(picture(0, 10.0)) < 0.3 * bumpy(free)


def test_a_free_form_source_finds_its_center(systems: Any) -> None:
    """Placed 0.7 px off along both axes, in peers that is where it stays, for want of a gradient."""
    truth = systems.scene(("gaussian", 24.7, 23.3, (2500.0, 2500.0), {"half_light_radius": 2.0}))
    seen = systems.observe(truth)
    placed = make_source("free-form", 24.0, 24.0, n_channels=2, half_light_radius=2.0, radius=systems.radius)
    last = systems.fit(truth.with_sources([placed]), [seen]).run()
    source = last.scene.sources[0]
    # its pixels take what the prior of the center, of 0.3 px around where it was placed, does not
    assert np.hypot(source.x - 24.7, source.y - 23.3) < 0.4
    picture = last.component(0)[0].astype(float)
    assert picture.sum(axis=0) @ np.arange(48) / picture.sum() == pytest.approx(24.7, abs=0.15)
    assert picture.sum(axis=1) @ np.arange(48) / picture.sum() == pytest.approx(23.3, abs=0.15)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_a_fit_does_not_know_the_unit(systems: Any, easy: Scene, unit: float) -> None:
    """Nor does the rule that ends it: a threshold on the loss is none on a quantity with a unit."""
    images = np.array(systems.observe(easy).images)
    weights = np.broadcast_to(systems.noise[:, None, None] ** -2.0, images.shape)
    moved = systems.without_fluxes(easy.with_sources(s.moved(s.x + 0.3, s.y - 0.2) for s in easy.sources))
    plain, scaled = (
        list(systems.fit(moved, [systems.seen(images * u, seed=None, weights=weights / u**2)])) for u in (1.0, unit)
    )
    assert len(plain) == len(scaled)
    assert plain[-1].outcome is scaled[-1].outcome and plain[-1].outcome.is_success
    assert scaled[-1].loss == pytest.approx(plain[-1].loss, rel=1e-4)
    np.testing.assert_allclose(scaled[-1].scene.fluxes / unit, plain[-1].scene.fluxes, rtol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_what_is_masked_leaks_nowhere(systems: Any, easy: Scene, bad: float) -> None:
    images = np.array(systems.observe(easy).images)
    weights = np.broadcast_to(systems.noise[:, None, None] ** -2.0, images.shape).copy()
    masked = np.zeros(images.shape, bool)
    masked[0, 20:23, 20:30] = True
    masked[1, 14, :] = True
    weights[masked] = 0
    results = []
    for value in (0.0, bad):
        seen = systems.seen(np.where(masked, value, images), seed=None, weights=weights)
        results.append(systems.fit(easy, [seen], max_iterations=3).run())
    assert np.isfinite(results[1].loss)
    assert results[0].loss == results[1].loss
    np.testing.assert_array_equal(results[0].scene.fluxes, results[1].scene.fluxes)
    # an undefined weight is no weight
    undefined = systems.seen(images, seed=None, weights=np.where(masked, np.nan, weights))
    assert systems.fit(easy, [undefined], max_iterations=3).run().loss == results[0].loss


def test_the_order_of_sources_does_not_matter(systems: Any) -> None:
    truth = systems.scene(
        *(("gaussian", 15.0 + 6 * k, 20.0 + 5 * (k % 2), (700.0, 500.0 + 50 * k)) for k in range(4)),
        ("point", 40.2, 38.1, (200.0, 300.0)),
    )
    seen = systems.observe(truth)
    start = systems.without_fluxes(truth.with_sources(s.moved(s.x + 0.2, s.y - 0.2) for s in truth.sources))
    order = [3, 0, 4, 2, 1]
    last = [
        systems.fit(scene, [seen]).run()
        for scene in (start, start.with_sources(start.sources[k] for k in order))
    ]  # fmt: skip
    assert last[0].loss == pytest.approx(last[1].loss, rel=1e-5)
    np.testing.assert_allclose(last[0].scene.fluxes[order], last[1].scene.fluxes, rtol=2e-3)


def test_first_order_steps_come_near_to_second_order_ones(systems: Any, easy: Scene) -> None:
    seen = systems.observe(easy)
    start = systems.without_fluxes(easy.with_sources(s.moved(s.x + 0.3, s.y - 0.3) for s in easy.sources))
    second = systems.fit(start, [seen]).run()
    first = list(systems.fit(start, [seen], solver="proximal-gradient", max_iterations=6))
    losses = [state.loss for state in first]
    assert all(after <= before for before, after in pairwise(losses))
    assert losses[-1] <= 1.03 * second.loss
    assert losses[0] > 1.03 * second.loss


class TestSeveralObservations:
    """On one pixel grid: a second epoch, or other bands with another PSF."""

    SOURCES = (("point", 20.3, 20.6, None), ("point", 26.4, 24.2, None))

    @pytest.fixture(scope="class")
    @classmethod
    def both(cls, systems: Any) -> tuple[Observation, list[Observation]]:
        """The same data as one observation of two bands, and as two observations of one band each."""
        truth = systems.scene(*((k, x, y, (500.0, 700.0)) for k, x, y, _ in cls.SOURCES))
        together = systems.observe(truth)
        apart = [
            Observation.from_arrays(
                together.images[b], together.psf[b], together.weights[b], channels=[band], name=f"survey {band}"
            )
            for b, band in enumerate(systems.bands)
        ]
        return together, apart

    def test_they_are_fitted_as_one(self, both: tuple[Observation, list[Observation]]) -> None:
        together, apart = both
        last = []
        for observations in ([together], apart):
            scene = empty_scene(observations)
            for kind, x, y, _ in self.SOURCES:
                scene = scene.place(kind, (x + 0.2, y - 0.1), radius=7)
            last.append(fit(scene, observations).run())
        one, two = last
        assert two.loss == pytest.approx(one.loss, rel=1e-4)
        np.testing.assert_allclose(two.scene.fluxes, one.scene.fluxes, rtol=2e-3)
        assert set(two.chi2_per_observation) == {"survey g", "survey i"}
        assert two.chi2 == pytest.approx(np.mean(list(two.chi2_per_observation.values())))
        assert two.model(1).shape == (1, 48, 48)
        np.testing.assert_allclose(two.model(1)[0], one.model()[1], atol=0.3)
        np.testing.assert_allclose(two.component(0, 1)[0], one.component(0)[1], atol=0.3)


class TestEndings:
    """A fit says how it ended."""

    def test_at_the_limit(self, systems: Any, start: Scene, observation: Observation) -> None:
        states = list(systems.fit(start, [observation], max_iterations=2))
        assert [state.iteration for state in states] == [0, 1, 2]
        assert states[-1].outcome is Outcome.STOPPED_AT_LIMIT and not states[-1].outcome.is_success
        only = list(systems.fit(start, [observation], max_iterations=0))
        assert len(only) == 1 and only[0].outcome is Outcome.STOPPED_AT_LIMIT

    def test_without_sources(self, systems: Any, observation: Observation) -> None:
        states = list(systems.fit(systems.empty(), [observation]))
        assert len(states) == 1 and states[0].outcome is Outcome.EMPTY
        assert "no sources" in states[0].outcome.value

    def test_a_perfect_start_has_converged(self, systems: Any) -> None:
        """What no step can make better is no failure: it is done, and soon."""
        truth = systems.scene(("point", 20.4, 20.2, (500.0, 700.0)))
        states = list(systems.fit(truth, [systems.observe(truth)]))
        assert states[-1].outcome.is_success
        assert len(states) <= 6

    def test_a_rough_fit_ends_where_the_loss_hardly_falls(
        self, systems: Any, start: Scene, observation: Observation
    ) -> None:
        whole = list(systems.fit(start, [observation], tolerance=1e-4))
        rough = list(systems.fit(start, [observation], tolerance=1e-4, stop=StopRule.ROUGH))
        assert rough[-1].outcome is Outcome.ROUGHLY and rough[-1].outcome.is_success
        assert len(rough) < len(whole) and whole[-1].outcome is Outcome.CONVERGED
        falls = [1 - after.loss / before.loss for before, after in pairwise(rough)]
        assert all(fall < 0.005 for fall in falls[-2:])
        assert rough[-1].loss < 1.01 * whole[-1].loss
        running = systems.fit(start, [observation], tolerance=1e-4)
        slow = [running.has_slowed for _ in running]
        assert slow.index(True) == len(rough) - 1, "whoever goes on from there may know of it"

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"max_iterations": -1}, "max_iterations must not be negative, got -1"),
            ({"tolerance": 0.0}, r"tolerance must be positive, got 0\.0"),
            ({"inner_iterations": 0}, "inner_iterations must be at least 1, got 0"),
            ({"solver": "newton"}, "'newton' is not a valid Solver"),
        ],
    )
    def test_settings_are_checked(self, settings: dict[str, Any], says: str) -> None:
        with pytest.raises(ValueError, match=says):
            FitSettings(**settings)


def test_a_fit_makes_its_own_program_where_none_is_given(systems: Any) -> None:
    truth = systems.scene(("point", 20.3, 20.6, (500.0, 700.0)), ("point", 26.4, 24.2, (500.0, 700.0)))
    running = fit(truth, [systems.observe(truth)], FitSettings(max_iterations=1))
    assert isinstance(running.program, Program)
    assert running.run().chi2 == pytest.approx(1.0, abs=0.1)


def test_how_well_a_center_is_known_is_a_prior(systems: Any) -> None:
    truth = systems.scene(("point", 24.5, 24.0, (60.0, 60.0)))
    seen = systems.observe(truth)
    placed = make_source("point", 24.0, 24.0, n_channels=2, radius=7)
    ends = [
        systems.fit(truth.with_sources([replace(placed, center_scatter=scatter)]), [seen]).run().scene.sources[0].x
        for scatter in (0.005, 0.3, np.inf)
    ]
    assert ends[0] == pytest.approx(24.0, abs=0.02)
    assert ends[0] < ends[1] < ends[2]
    assert ends[2] == pytest.approx(24.5, abs=0.25)

"""NUTS: coordinates that know their way back, chains that tell where they disagree, and ends that come at once."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Scene, Status, compilations, sample
from deblend.infer.chart import chart_at, within, without_bounds
from deblend.infer.diagnostics import bulk_ess, r_hat


def test_numbers_without_bounds_lead_back_to_those_with() -> None:
    lower, upper = np.array([-np.inf, 0.0, 0.0, -1.0]), np.array([np.inf, np.inf, np.inf, 1.0])
    x, scale = np.array([3.0, 0.4, 50.0, 0.4]), np.array([0.1, 0.5, 1.0, 4.0])
    tie, index = np.eye(4), np.arange(4)
    chart, inverse = chart_at(x, np.diag(scale**-2.0), lower, upper, index, tie, 9, np.float64)
    used = type(chart)(*(part[:4] for part in chart))
    found, log_slope = within(used, used.origin, np)
    np.testing.assert_allclose(found, x, rtol=1e-6)
    step = 1e-6
    more, less = (within(used, used.origin + s * step, np)[0] for s in (1, -1))
    np.testing.assert_allclose(np.exp(log_slope), (more - less) / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(inverse @ chart.matrix[:4, :4], np.eye(4), atol=1e-9)
    far, _ = within(used, np.array([1e3, 1e3, -1e3, 1e3]), np)
    assert far[1] == pytest.approx(1e3) and abs(far[2]) < 1e-6 and far[3] <= 1.0 + 1e-12
    at_bound, slope = without_bounds(np.zeros(1), np.zeros(1), np.array([np.inf]), np.ones(1))
    assert np.isfinite(at_bound[0]) and 0 < slope[0] < 1


def test_diagnostics_are_those_of_arviz() -> None:
    arviz = pytest.importorskip("arviz")
    rng = np.random.default_rng(5)
    draws = np.zeros((4, 300, 3))
    for k in range(1, 300):
        draws[:, k] = np.array([0.0, 0.8, -0.4]) * draws[:, k - 1] + rng.standard_normal((4, 3))
    draws[0, :, 1] += 0.5
    for number in range(3):
        expected = float(arviz.rhat(draws[:, :, number])), float(arviz.ess(draws[:, :, number]))
        assert r_hat(draws)[number] == pytest.approx(expected[0], rel=1e-3)
        assert bulk_ess(draws)[number] == pytest.approx(expected[1], rel=0.02)
    assert np.isnan(r_hat(draws[:, :4])).all()


@pytest.fixture(scope="module")
def bright(systems: Any) -> Scene:
    """A star and a galaxy that overlap, both free."""
    return systems.scene(
        ("point", 20.3, 24.4, (900.0, 800.0)), ("sersic", 24.1, 25.2, (1500.0, 1700.0), {"half_light_radius": 2.0})
    )


def test_chains_of_a_blend_agree_and_keep_what_is_held(systems: Any, bright: Scene) -> None:
    scene = bright.with_sources(
        [bright.sources[0], replace(bright.sources[1], center=bright.sources[1].center.with_status(Status.FIXED))]
    )
    program = systems.program([systems.observe(scene)], scene)
    sampling = sample(scene, program.observations, "nuts", 480, 2, program)
    next(sampling)
    before = compilations()
    drawn = [draw.scene for draw in sampling]
    assert compilations() == before
    found = sampling.diagnosis()
    assert found is not None and found.worst_r_hat < 1.05 and found.least_ess > 60
    assert any("half_light_radius of source 2" in name for name in found.names)
    assert not any(name == "x of source 2" for name in found.names)
    assert {s.sources[1].x for s in drawn} == {scene.sources[1].x}
    fluxes = np.array([s.fluxes for s in drawn])
    assert np.all(np.abs(fluxes.mean(0) - scene.fluxes) < 5 * fluxes.std(0))


def test_two_modes_are_no_clean_bill(systems: Any) -> None:
    """Two stars of which nobody knows which is which: the data like both ways alike, and no chain crosses between."""
    scene = systems.scene(
        ("point", 22.0, 24.0, (600.0, 300.0), {"center_scatter": 50.0}),
        ("point", 24.5, 24.0, (300.0, 600.0), {"center_scatter": 50.0}),
    )
    held = scene.with_sources(
        replace(s, channel_offsets=s.channel_offsets.with_status(Status.FIXED)) for s in scene.sources
    )
    program = systems.program([systems.observe(held)], held)
    sampling = sample(held, program.observations, "nuts", 400, 1, program, spread=3.0)
    first = np.array([draw.scene.sources[0].x for draw in sampling])
    found = sampling.diagnosis()
    # one chain of four began where they are exchanged, and stays there
    assert np.mean(first > 23.25) == pytest.approx(0.25)
    assert found is not None
    assert found.worst_r_hat > 1.3 and not found.is_clean
    assert "do not agree" in " ".join(found.doubts)


def test_an_end_comes_at_once(systems: Any, bright: Scene) -> None:
    """Within half a second, whatever is being made, and what was begun goes on."""
    program = systems.program([systems.observe(bright)], bright)
    sampling = sample(bright, program.observations, "nuts", 100_000, 3, program)
    ends: list[float] = []

    def walk() -> None:
        for _ in sampling:
            pass
        ends.append(time.perf_counter())

    walker = threading.Thread(target=walk)
    walker.start()
    time.sleep(1.0)
    asked = time.perf_counter()
    sampling.cancel()
    walker.join(20)
    assert ends and ends[0] - asked < 0.5
    done = sampling.n_done
    sampling.resume()
    assert next(sampling).index == done

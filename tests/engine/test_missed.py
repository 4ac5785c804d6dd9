"""Sources in what a fit leaves over: found where one was missed, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deblend import find_missed, with_missed

BRIGHT = ("gaussian", 22.0, 24.0, (6000.0, 9000.0), {"half_light_radius": 2.5})
FAINT = ("point", 27.6, 20.3, (170.0, 240.0))
"""On the wing of the bright one, at a signal to noise of about 70."""


def test_a_source_on_the_wing_of_a_bright_one_is_found(systems: Any) -> None:
    observation = systems.observe(systems.scene(BRIGHT, FAINT))
    fitted = systems.scene(BRIGHT)
    peaks = find_missed([observation], [systems.model(fitted)], fitted)
    assert len(peaks) == 1
    assert np.hypot(peaks.x[0] - FAINT[1], peaks.y[0] - FAINT[2]) < 0.5
    assert 50 < peaks.snr[0] < 90


def test_it_is_added_and_fitted(systems: Any) -> None:
    truth = systems.scene(BRIGHT, FAINT)
    observation = systems.observe(truth)
    fitted = systems.scene(BRIGHT)
    more = with_missed(fitted, [observation], [systems.model(fitted)], kind="point")
    assert len(more) == 2
    assert more.sources[0] is fitted.sources[0]
    best = systems.fit(more, [observation]).run()
    added = best.scene.sources[1]
    assert np.hypot(added.x - FAINT[1], added.y - FAINT[2]) < 0.3
    np.testing.assert_allclose(added.flux, FAINT[3], rtol=0.2)


def test_nothing_is_found_in_noise_or_where_a_model_errs_by_a_little(systems: Any) -> None:
    """A tenth of the light of a bright galaxy left over, as by a core that is too round, is far above the noise."""
    truth = systems.scene(BRIGHT)
    observation = systems.observe(truth)
    model = systems.model(truth)
    assert len(find_missed([observation], [model], truth)) == 0
    assert len(find_missed([observation], [0.9 * model], truth)) == 0
    assert with_missed(truth, [observation], [model]) is truth


def test_what_is_left_over_at_a_source_is_its_own(systems: Any) -> None:
    truth = systems.scene(BRIGHT)
    dark = np.zeros((2, 48, 48))
    assert len(find_missed([systems.observe(truth)], [dark], truth)) == 0


def test_the_threshold_is_checked(systems: Any) -> None:
    truth = systems.scene(BRIGHT)
    with pytest.raises(ValueError, match="must be positive, got 0"):
        find_missed([systems.observe(truth)], [systems.model(truth)], truth, threshold=0)

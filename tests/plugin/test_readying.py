"""What a fit needs is compiled while nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deblend import FitSettings, Observation, make_source
from deblend.program import compilations
from napari_deblend import readying
from napari_deblend.readying import SWITCH
from napari_deblend.runner import Phase
from tests.plugin.conftest import STARS

pytestmark = [pytest.mark.gui, pytest.mark.gl]


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A workbench that compiles ahead of need."""
    monkeypatch.setenv(SWITCH, "yes")
    # beside other tests it would never have its turn
    monkeypatch.setattr(readying, "stand_back", lambda: None)
    return request.getfixturevalue("bench")


def test_a_fit_compiles_nothing_nor_does_one_with_shifts(
    ahead: Any, observation: Observation, wait: Callable[..., None], settle: Callable[[Any], None]
) -> None:
    ahead.open([observation])
    document = ahead.document
    document.add(*(make_source("point", x, y, n_channels=3) for x, y, _ in STARS))
    settle(ahead)
    at_rest: list[int] = []
    ahead.settled.connect(lambda: at_rest.append(document.revision))
    wait(lambda: document.revision in at_rest and not ahead.readying.is_busy)
    for shifts in (False, True):
        if shifts:
            document.calibrate(("shift",))
            settle(ahead)
        before, number = compilations(), ahead.frame.fit_number
        ahead.runner.run(FitSettings(max_iterations=3))
        wait(lambda number=number: ahead.frame.fit_number > number and ahead.phase is Phase.IDLE)
        assert compilations() == before, f"the fit compiled, with shifts: {shifts}"

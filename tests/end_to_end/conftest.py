"""One blend, and one fit of it, for all tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deblend.cli import main
from tests.end_to_end.blend import Blend, as_users_run_it, make_blend, with_companions


@pytest.fixture
def users_way() -> Iterator[None]:
    """The program as it is run."""
    with as_users_run_it():
        yield


@pytest.fixture(scope="session")
def blend(tmp_path_factory: pytest.TempPathFactory) -> Blend:
    return make_blend(tmp_path_factory.mktemp("blend"))


@pytest.fixture(scope="session")
def fitted(blend: Blend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a fit with given peaks."""
    out = tmp_path_factory.mktemp("fitted") / "new" / "folder"
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    with as_users_run_it():
        assert main(["fit", *arguments, "--out", str(out)]) == 0
    return out

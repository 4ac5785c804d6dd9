"""`deblend view`: a window of its own, in which a person goes on from a session of `deblend fit`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from deblend.cli import main
from deblend.io import read_session
from tests.end_to_end.blend import Blend

CLOSED_AFTER_A_LOOK = """
    import sys
    from qtpy.QtCore import QTimer
    from napari_deblend import __main__ as window
    from napari_deblend.workbench import Workbench
    import napari

    def look():
        (bench,) = Workbench._open.values()
        if bench.frame is None or not bench.document.is_open:
            QTimer.singleShot(100, look)
            return
        print(len(bench.document.scene), repr(bench.document.scene.fluxes.sum()))
        bench.viewer.close()

    napari.run = lambda run=napari.run: (QTimer.singleShot(100, look), run())
    raise SystemExit(window.main(sys.argv[1:]))
"""


@pytest.mark.gui
def test_the_window_goes_on_from_a_fit_of_the_command_line(blend: Blend, fitted: Path) -> None:
    path = fitted / "session.asdf"
    session = read_session(path)
    command = [sys.executable, "-c", textwrap.dedent(CLOSED_AFTER_A_LOOK), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == [str(len(session.scene)), repr(session.scene.fluxes.sum())]


def test_a_file_that_is_not_there_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["view", "gone.asdf"]) == 2
    assert capfd.readouterr().err == "deblend: gone.asdf: there is no such file; check the path.\n"

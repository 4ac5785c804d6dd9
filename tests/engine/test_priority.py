"""Threads that compute give way to the window; the thread that asked for it keeps its priority."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOOK = """
import json, os, threading
from pathlib import Path
import deblend
me = threading.get_native_id()
before = os.getpriority(os.PRIO_PROCESS, me)
deblend.give_way()
started = [t for t in Path("/proc/self/task").iterdir() if "XLA" in (t / "comm").read_text()]
nice = [os.getpriority(os.PRIO_PROCESS, int(t.name)) for t in started]
print(json.dumps([before, os.getpriority(os.PRIO_PROCESS, me), nice]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for every thread")
def test_only_computing_threads_give_way() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    before, after, nice = json.loads(done.stdout)
    assert after == before
    assert nice, "JAX has started no threads"
    assert min(nice) == min(before + 10, 19)

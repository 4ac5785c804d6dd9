"""Whose turn it is: a window that wants to be drawn goes before the threads that compute."""

from __future__ import annotations

import logging
import os
import sys
import threading

import jax

NICENESS, UTMOST = 10, 19
"""Of the threads that compute, and of those that compute what nobody waits for."""
log = logging.getLogger(__name__)


def give_way() -> None:
    """Have the threads that compute give way to all others of this process; call it before anything is computed.

    Linux has a priority for every thread and hands it on to the threads that it starts, so JAX starts its own from
    one that has lowered its priority and then ends: whoever calls this keeps theirs. Where JAX has started already,
    and on other systems, nothing changes.
    """
    if sys.platform != "linux":
        return
    starter = threading.Thread(target=_start_with_low_priority, name="deblend starter")
    starter.start()
    starter.join()


def stand_back() -> None:
    """Have the present thread, and those that it will start, give way even to those that compute; for good."""
    if sys.platform == "linux":
        _be(UTMOST)


def _start_with_low_priority() -> None:
    _be(NICENESS)
    jax.devices()


def _be(nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    except OSError as error:
        log.info("The priority of computing threads stays as it is: %s", error)

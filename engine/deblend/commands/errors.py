"""Whose fault an error is: the input's, which is one sentence, or the program's, which is a report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deblend.faults import machine_fault


class BadInputError(Exception):
    """What was given cannot be used; the text is the sentence for the person who gave it."""


@contextmanager
def blaming_the_input() -> Iterator[None]:
    """Turn the errors of a part that reads and checks input into `BadInputError`."""
    try:
        yield
    except (ValueError, OSError) as error:
        if (fault := machine_fault(error)) is not None:
            raise BadInputError(fault) from error
        raise BadInputError(" ".join(str(error).split()) or type(error).__name__) from error

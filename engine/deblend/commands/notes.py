"""What a person should know of how the input was understood: said as it is found, and kept for the summary."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def noting(*, quiet: bool) -> Iterator[tuple[Callable[[str], None], list[str]]]:
    """Give a function that notes a sentence, and the list of all that were noted; warnings are noted too."""
    notes: list[str] = []

    def note(sentence: str) -> None:
        notes.append(sentence)
        if not quiet:
            print(f"note: {sentence}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: note(" ".join(str(message).split()))
        yield note, notes

"""Flags in the window: a sign each, what it says, and what can be done."""

from __future__ import annotations

from typing import Any

from deblend.measure import MEANINGS

SIGNS = {
    "at_bound": "⊢",
    "moved": "↷",
    "zero_flux": "∅",
    "masked_core": "▩",
    "not_converged": "…",
    "uneven": "≋",
    "degenerate": "⇄",
}
MENDS = {
    "at_bound": "Give it another kind, or look whether a neighbor is missing beside it.",
    "moved": "Drag it back and fix its center, or delete it where another source explains its light.",
    "zero_flux": "Delete it, or move it to where its light is.",
    "masked_core": "Its flux is what its shape says under the mask; look at the mask below Observations.",
    "not_converged": "Fit on (G), or raise the limit of iterations.",
    "uneven": "Fit it anew as a learned galaxy: its menu has that.",
    "degenerate": "Merge the two, or fix the shape of one of them.",
}


def flags_in(table: Any) -> dict[str, tuple[str, ...]]:
    """Return the flags of every source of a catalog's table, by its id."""
    known = [flag for flag in SIGNS if f"flag_{flag}" in table.colnames]
    return {str(row["id"]): tuple(flag for flag in known if row[f"flag_{flag}"]) for row in table}


def signs_of(flags: tuple[str, ...]) -> str:
    """Return the signs of these flags, side by side."""
    return " ".join(SIGNS[flag] for flag in flags)


def sentences_of(flags: tuple[str, ...]) -> str:
    """Return a line for every flag: what it says, and what can be done."""
    return "\n".join(f"{SIGNS[f]}  {MEANINGS[f][0].upper()}{MEANINGS[f][1:]}. {MENDS[f]}" for f in flags)

"""Names of columns."""

from __future__ import annotations

import re

from deblend.sky import Channel


def column_key(channel: Channel) -> str:
    """Return the part of a column's name that stands for a channel."""
    return "_".join(re.sub(r"\W+", "_", part) for part in channel if part)

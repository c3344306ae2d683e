"""Rows of tables, and values as JSON has them."""

import math
from collections.abc import Mapping
from typing import Any

Row = dict[str, float]
"""A row of a table such as series.csv: numbers by column."""


def plain(value: Any) -> Any:
    """Return a value for JSON: what is not finite becomes null, at any depth."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

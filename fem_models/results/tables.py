"""Rows of tables, and values as JSON has them."""

from fem_models.core.protocols import Row
from fem_models.results.files import plain

__all__ = ["Row", "plain"]

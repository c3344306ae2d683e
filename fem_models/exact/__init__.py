"""Closed forms and references in one dimension to hold computations against."""

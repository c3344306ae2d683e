"""Steady states, computed without time steps."""

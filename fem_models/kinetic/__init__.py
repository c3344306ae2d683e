"""Kinetic equations in the position and the velocity."""

"""Gradient flows and their discrete equations."""

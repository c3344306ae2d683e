"""Runs: run files, the time loop, diagnostics, checkpoints and output."""

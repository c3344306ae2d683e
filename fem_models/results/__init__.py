"""Run directories: names, writing, reading."""

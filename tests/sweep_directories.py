"""Directories of sweeps written by hand: summaries with errors of known orders, and the table of them."""

import json

from fem_models.config.io import dump, from_dict
from fem_models.core.files import write_table
from fem_models.results.sweeps import points_of, sweep_table

TABLES = {
    "mesh": {"domain": "interval", "cells": 20},
    "system": {"name": "fokker-planck"},
    "initial": {"rho": "1 + x"},
    "time": {"end": 0.1, "step": 0.02},
}


def write_sweep(directory, sweep, summary, missing=(), **tables):
    """A sweep with a summary for each point but those missing, by a function of the values; its table."""
    config = from_dict(TABLES | tables | {"sweep": sweep})
    directory.mkdir(exist_ok=True)
    (directory / "run.toml").write_text(dump(config))
    for point in points_of(config.sweep, directory):
        if point.number not in missing:
            point.directory.mkdir(parents=True)
            found = {"stop_reason": "end"} | summary(*point.values)
            (point.directory / "summary.json").write_text(json.dumps(found))
    columns, rows = sweep_table(config.sweep, directory)
    write_table(directory / "sweep.csv", columns, rows)
    return columns, rows

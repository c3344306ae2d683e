"""A small run, made from keys, and what it left, read with nothing of the package."""

import copy
import csv
import json
import re
from dataclasses import replace

import pytest
from mpi4py import MPI

from fem_models.config.io import from_dict
from fem_models.config.schemes import SCHEMES
from fem_models.run.runner import run

TABLES = {
    "mesh": {"domain": "interval", "upper": [2.0], "cells": [20]},
    "system": {"name": "fokker-planck", "potential": "x"},
    "initial": {"rho": "1 + x", "mass": 2.0},
    "time": {"end": 0.1, "step": 0.02},
    "output": {"figures": False},
}


class Run:
    """A run directory and what the run returned."""

    def __init__(self, path, outcomes=None):
        self.path = path
        self.outcomes = outcomes

    @property
    def summary(self):
        return json.loads((self.path / "summary.json").read_text(encoding="utf-8"))

    @property
    def rows(self):
        with (self.path / "series.csv").open(newline="", encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]

    def column(self, name):
        return [row[name] for row in self.rows]

    @property
    def field_times(self):
        text = (self.path / "fields.pvd").read_text(encoding="utf-8")
        sets = re.findall(r'<DataSet timestep="([^"]+)" part="0" file="([^"]+)" />', text)
        assert all((self.path / piece).is_file() for _, piece in sets)
        return [float(time) for time, _ in sets]

    @property
    def log(self):
        return (self.path / "log.txt").read_text(encoding="utf-8")


@pytest.fixture
def tables():
    """Return the tables of the small run, to change."""
    return copy.deepcopy(TABLES)


@pytest.fixture
def run_tables(shared_tmp_path):
    """Return what runs tables in a directory of that name and returns the run."""

    def do(tables, name="run", comm=MPI.COMM_WORLD, **options):
        path = shared_tmp_path / name
        outcomes = run(from_dict(tables), path, comm=comm, **options)
        comm.Barrier()
        return Run(path, outcomes)

    return do


@pytest.fixture
def replace_scheme():
    """Return what lets a run take another class for a scheme, until the test is over."""
    entries = dict(SCHEMES)

    def register(changed):
        for name in list(SCHEMES):
            SCHEMES.remove(name)
        for name, entry in changed.items():
            SCHEMES.add(name, entry)

    def do(name, scheme):
        entry = replace(entries[name], build=lambda flow, table, settings: scheme(flow, table.flux, settings))
        register(entries | {name: entry})

    yield do
    register(entries)

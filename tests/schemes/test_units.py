"""Units of length make no difference: densities in femtometres and in light years are the same ones."""

from functools import cache

import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI

import fem_models as fm

COMM = MPI.COMM_WORLD
DOMAINS = {
    "interval": lambda L: {"upper": L, "cells": 60},
    "rectangle": lambda L: {"upper": (L, L), "h": L / 8},
    "disk": lambda L: {"radius": L, "h": L / 5},
    "ball": lambda L: {"radius": L, "h": L / 2.5},
}
SCHEMES = {"backward Euler": fm.BackwardEuler(), "BDF2": fm.Bdf2(), "JKO": fm.Jko()}
UNITS = (1e-15, 1e6, 1e15)


def bump(at, length):
    return lambda x: np.exp(-20 * ((x[0] - at * length) / length) ** 2)


@cache
def densities(domain, length):
    """The largest densities after five steps, by scheme, and W₂ with its iterations, in units of length."""
    mesh = fm.mesh(domain, **DOMAINS[domain](length), comm=COMM)
    # A constant of DOLFINx: one compiled form for all units.
    slope = fem.Constant(mesh.mesh, 3.0 / length)
    flow = fm.Flow(mesh, fm.Boltzmann() + fm.Potential(lambda x: slope * x[0]))
    found = {}
    for name, scheme in SCHEMES.items():
        state = flow.state(bump(0.2, length), 1.0)
        *_, last = fm.evolve(flow, state, scheme, step=0.02 * length**2, until=0.1 * length**2)
        assert last.masses["rho"] == pytest.approx(1.0, rel=1e-13)
        found[name] = last.maxima["rho"] * length**flow.mesh.geometry.dim
    path = fm.wasserstein(flow.state(bump(0.3, length), 1.0), flow.state(bump(0.5, length), 1.0))
    return found, path.distance / length, path.iterations


@pytest.mark.parallel
@pytest.mark.parametrize("length", UNITS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_densities_and_distances_do_not_depend_on_the_unit_of_length(domain, length):
    found, distance, iterations = densities(domain, length)
    expected, unit_distance, unit_iterations = densities(domain, 1.0)
    assert found == pytest.approx(expected, rel=1e-8)
    assert distance == pytest.approx(unit_distance, rel=1e-9)
    assert abs(iterations - unit_iterations) <= 2

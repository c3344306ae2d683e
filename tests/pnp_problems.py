"""Meshes and densities that the tests of Poisson–Nernst–Planck share."""

import functools

import numpy as np
from mpi4py import MPI
from references import COMM

from fem_models.meshes import domains as meshes
from fem_models.systems.poisson_nernst_planck import IONS, poisson_nernst_planck


@functools.cache
def marked_mesh(domain, alone=False, **keys):
    return meshes.build(MPI.COMM_SELF if alone else COMM, domain, **keys)


def cap(center, radius):
    """A density (r² - |x - c|²)₊, with vacuum around it."""
    center = np.asarray(center, dtype=float)
    return lambda x: np.maximum(radius**2 - ((x - center[:, None]) ** 2).sum(axis=0), 0.0)


def in_space(h, alone=False, ions=IONS, m=1.0, radius=1.0, permittivity=1.0):
    """Ions in the whole space."""
    mesh = marked_mesh("space", alone, h=h, radius=radius)
    return poisson_nernst_planck(mesh, ions, m, permittivity)

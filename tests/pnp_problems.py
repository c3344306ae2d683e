"""Meshes, electrodes and densities that the tests of Poisson–Nernst–Planck share."""

import functools

import numpy as np
from mpi4py import MPI
from references import COMM

from fem_models.mesh import domains as meshes
from fem_models.mesh.marks import boundary_nodes
from fem_models.mesh.whole_space import space_coefficient
from fem_models.systems.poisson_nernst_planck import IONS, poisson_nernst_planck


@functools.cache
def marked_mesh(domain, alone=False, **keys):
    return meshes.build_marked(MPI.COMM_SELF if alone else COMM, domain, **keys)


def electrodes_on(marked, potentials):
    """Nodes and value of each electrode, from values by boundary."""
    space = poisson_nernst_planck(marked.mesh).space
    return {
        name: (boundary_nodes(space, marked.boundaries[name]), value) for name, value in potentials.items()
    }


def cap(center, radius):
    """A density (r² - |x - c|²)₊, with vacuum around it."""
    center = np.asarray(center, dtype=float)
    return lambda x: np.maximum(radius**2 - ((x - center[:, None]) ** 2).sum(axis=0), 0.0)


def in_space(h, alone=False, ions=IONS, m=1.0, radius=1.0, permittivity=1.0):
    """Ions in the whole space."""
    marked = marked_mesh("space", alone, h=h, radius=radius)
    return poisson_nernst_planck(
        marked.mesh,
        ions,
        m,
        permittivity=permittivity * space_coefficient(marked),
        cells=marked.regions["ball"],
        electrodes=electrodes_on(marked, {"infinity": 0.0}),
    )

"""Meshes, flows and initial densities that several tests share; exact solutions are in `fem_models.exact`."""

import functools

import numpy as np
import ufl
from mpi4py import MPI

from fem_models.energies import Potential
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

COMM = MPI.COMM_WORLD
SCHEMES = {scheme.name: scheme for scheme in (BackwardEuler, Bdf2, Jko, JkoBdf2)}
DIRECT = NewtonSettings(linear="direct")


@functools.cache
def mesh_of(domain, alone=False, **keys):
    """A mesh that all tests may share; a whole one on every rank if `alone`."""
    return meshes.build(MPI.COMM_SELF if alone else COMM, domain, **keys).mesh


def flow_of(domain, energy, alone=False, **keys):
    """A flow of one density called rho on a shared mesh."""
    return GradientFlow(mesh_of(domain, alone, **keys), Species(), energy)


def quadratic_potential(strength, **keys):
    """The term with V = strength/2 |x|²."""
    return Potential(lambda x: 0.5 * strength * ufl.dot(x, x), **keys)


def bump(center, height=0.1):
    """The density (height - |x - center|²)₊, with vacuum around it."""
    center = np.asarray(center, dtype=float)
    return lambda x: np.maximum(height - ((x - center[:, None]) ** 2).sum(axis=0), 0.0)


def waves(points, seed, species=1):
    """Values in (0, 1) that look random but depend on the position alone, shape (nodes, species)."""
    frequencies = np.random.default_rng(seed).uniform(20.0, 60.0, (species, points.shape[1]))
    return 0.5 + 0.49 * np.sin(points @ frequencies.T + seed)


def total(flow, nodal):
    """The sum over all nodes of nodal values, shape (nodes,)."""
    return flow.comm.allreduce(float(nodal[: flow.owned].sum()))


def l1_distance(flow, state, other):
    """Σ_i m_i |ρ_i - other_i| for the first species."""
    return total(flow, flow.geometry.volumes * np.abs(state[:, 0] - other))


def march(flow, state, end, steps, scheme=BackwardEuler, flux="upwind", settings=DIRECT):
    """The state after equal steps up to time `end`."""
    stepper = scheme(flow, flux, settings)
    for _ in range(steps):
        state = stepper.step(state, end / steps).state
    return state


def orders(errors, factor=2.0):
    """Observed orders of errors on a sequence refined by a factor."""
    errors = np.asarray(errors)
    return np.log(errors[:-1] / errors[1:]) / np.log(factor)

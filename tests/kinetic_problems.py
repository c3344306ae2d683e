"""Kinetic problems on small tori, and an independent solution for a rate that does not depend on the
density."""

from functools import lru_cache

import numpy as np
from mpi4py import MPI
from scipy.linalg import expm

from fem_models.kinetic.bgk.initial import state_of_moments
from fem_models.kinetic.bgk.model import KineticModel
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes.domains import build

K = 2.0 * np.pi
TIGHT = NewtonSettings(1e-13)


@lru_cache(maxsize=8)
def torus(*cells):
    return build(MPI.COMM_WORLD, "torus", cells=list(cells)).mesh


def smooth(model, odd=0.0):
    """ρ = 1 + ½ cos(2πx) …, with a flux that is `odd` times as large."""

    def wave(x):
        return 0.5 * np.cos(K * x).prod(axis=0)

    return state_of_moments(model, lambda x: 1.0 + wave(x), {0: lambda x: odd * wave(x)} if odd else None)


def advanced(scheme, state, tau, steps):
    """The states after the steps, and the steps."""
    taken = []
    for _ in range(steps):
        taken.append(scheme.step(state, tau))
        state = taken[-1].state
    return state, taken


def moments(h, epsilon, time, k=K, fokker_planck=False):
    """The Hermite modes of exp(ikx), whose system h' = -(ik/ε) B h - ε⁻² S h is that of (1.2) for λ = 1, or
    (1.5)."""
    count = len(h)
    b = np.diag(np.sqrt(np.arange(1.0, count)), 1)
    damping = np.arange(count, dtype=float) if fokker_planck else np.minimum(np.arange(count), 1)
    return expm((-1j * k / epsilon * (b + b.T) - np.diag(damping) / epsilon**2) * time) @ h


def density_error(model, state, density):
    """The L² norm of the difference to a density, by the rule for masses."""
    space = model.space
    bary = space.mass_values if space.degree == 1 else None
    if bary is None:
        import basix

        kind = getattr(basix.CellType, space.mesh.topology.cell_name())
        reference, _ = basix.make_quadrature(kind, 4)
        bary = np.column_stack([1.0 - reference.sum(axis=1), reference])
    points = bary @ space.corners
    found = space.at_mass_points(state.even[:, 0]) - density(np.moveaxis(points, 2, 0))
    weights = space.volumes[:, None] * space.mass_weights
    return np.sqrt(space.sum(float((weights * found**2).sum())))


def distance(model, one, other):
    """The L² norm of the difference of two densities."""
    space = model.space
    change = one.less(other.even[:, 0]).even
    return float(np.sqrt(space.even_product(change, change)[0]))


def kinetic(cells, rate=0.0, epsilon=0.3, modes=3, degree=1, **more):
    return KineticModel(torus(*cells), rate, epsilon, modes, degree, **more)

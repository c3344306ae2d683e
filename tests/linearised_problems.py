"""A manufactured solution of the linearised JKO problem, and what its tests share."""

import functools

import numpy as np
import ufl
from ufl.classes import Label, Variable

from fem_models.linearised_jko.elements import PAIRS
from fem_models.linearised_jko.loads import LoadAssembly, Sources
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.saddle_point import SaddlePoint

from dolfinx import fem  # isort: skip

STABLE = tuple(pair.name for pair in PAIRS.values() if pair.stable)
C = 0.7

# A manufactured solution: smooth fields on the unit interval, square or cube, with ∂φ/∂n = g·n = 0.


def cosines(x):
    return functools.reduce(lambda a, b: a * b, [ufl.cos(np.pi * x[i]) for i in range(len(x))])


def q(x, s):
    return 1.5 + 0.3 * (1.0 + s) ** 2 * ufl.cos(np.pi * x[0]) + 0.2 * x[0] ** 2


def phi(x, s):
    return 0.3 * (1.0 + s + s**2) * cosines(x)


def h(x, s):
    return ufl.cos(1.0 + 3.0 * s) * (1.0 + ufl.cos(2.0 * np.pi * x[0])) + ufl.sin(s) * cosines(x)


def f(x, s):
    return ufl.exp(-s) * cosines(x) + ufl.cos(3.0 * s) * ufl.cos(np.pi * x[0])


def g(x, s):
    return ufl.as_vector([ufl.sin(np.pi * x[i]) * (ufl.cos(2.0 * s) + x[0] * s) for i in range(len(x))])


def rate(u, x, s):
    """∂s u."""
    time = Variable(s, Label(0))
    return ufl.diff(u(x, time), time)


SOURCES = Sources(
    constraint=lambda x, s: rate(h, x, s) + ufl.div(g(x, s) + h(x, s) * ufl.grad(phi(x, s))),
    flux=lambda x, s: g(x, s) - q(x, s) * ufl.grad(f(x, s)),
    adjoint=lambda x, s: -rate(f, x, s) - ufl.dot(ufl.grad(phi(x, s)), ufl.grad(f(x, s))),
    end=lambda x, s: f(x, s) + h(x, s) / q(x, s) + C * q(x, s),
)


def start(x):
    return h(x, 0.0)


def built(mesh, pair, duration=0.4, slabs=2, **keys):
    return LinearisedJko(mesh, pair, q, phi, duration, slabs, **keys)


def solved(problem, h0=start, sources=None):
    """The minimiser, with the loads."""
    loads = LoadAssembly(problem, sources)(h0)
    return SaddlePoint(problem).solve(loads), loads


def l2(mesh, integrand):
    """The L² norm of a UFL scalar or vector."""
    form = fem.form(ufl.inner(integrand, integrand) * ufl.dx(domain=mesh, metadata={"quadrature_degree": 8}))
    return np.sqrt(mesh.comm.allreduce(fem.assemble_scalar(form)))


def manufactured_errors(mesh, pair, duration, slabs):
    """L² errors of f and g in the middle of the last slab, and of h and p at the end."""
    problem = built(mesh, pair, duration, slabs, C=C)
    found, _ = solved(problem, sources=SOURCES)
    x, s = ufl.SpatialCoordinate(mesh), fem.Constant(mesh, 0.0)
    errors = []
    for computed, exact, moment in (
        (found.f[-1], f, duration - 0.5 * problem.delta),
        (found.g[-1], g, duration - 0.5 * problem.delta),
        (found.h[-1], h, duration),
        (found.p, f, duration),
    ):
        s.value = moment
        errors.append(l2(mesh, computed - exact(x, s)))
    return errors

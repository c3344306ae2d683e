"""Two coupled flows on small meshes, and their solution in one dimension by a spectral method of lines."""

import numpy as np
import ufl
from references import mesh_of
from scipy.integrate import solve_ivp

from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.two_component import quadratic_potentials, two_component

MESHES = {
    1: ("interval", {"lower": (-2.0,), "upper": (2.0,), "cells": (60,)}),
    2: ("disk", {"radius": 2.0, "h": 0.35}),
    3: ("box", {"lower": (-1.6,) * 3, "upper": (1.6,) * 3, "cells": (6, 6, 6)}),
}


def hill(dim, place, height=0.4):
    """The density (height - |x - place e|²)₊, with vacuum around it."""
    center = np.zeros((dim, 1))
    center[0] = place
    return lambda x: np.maximum(height - ((x - center) ** 2).sum(axis=0), 0.0)


def two_hills(dim, m=2.0, epsilon=0.5, alone=False, **coupling):
    """Two densities in displaced potentials, and a state with vacuum."""
    domain, keys = MESHES[dim]
    center = np.zeros(dim)
    center[0] = 0.25
    potentials = quadratic_potentials(1.0, [-center, center])
    flow = two_component(mesh_of(domain, alone, **keys), potentials, m, epsilon, **coupling)
    state = flow.state({"rho1": hill(dim, 0.4), "rho2": hill(dim, -0.6)}, {"rho1": 1.0, "rho2": 2.0})
    return flow, state


def hill_with_signal(dim, m=2.0, epsilon=0.5, alone=False):
    """A density that follows its signal in a potential, and a state with vacuum."""
    domain, keys = MESHES[dim]
    mesh = mesh_of(domain, alone, **keys)
    flow = chemotaxis(mesh, lambda x: 0.5 * ufl.dot(x, x), m, epsilon, 1.0, lambda c: -ufl.tanh(c))
    return flow, flow.state({"rho": hill(dim, 0.4), "c": lambda x: 0.1 * x[0]}, {"rho": 1.0})


class CosineReference:
    """Fields of two columns on [0, 1] without flux, as cosine series, with ∂tu given pointwise.

    Args:
        initial: Two functions of x whose derivative is zero at both ends.
        rate: ∂tu at grid values u of shape (2, n), with the derivative d of such arrays.
        end: The time of the solution.
    """

    def __init__(self, initial, rate, end, modes=48):
        self._modes = modes
        x = np.arange(modes + 1) / modes
        start = np.array([f(x) for f in initial])

        def change(_, u):
            return rate(u.reshape(2, -1), x, self._slope).ravel()

        found = solve_ivp(change, (0.0, end), start.ravel(), method="LSODA", rtol=1e-10, atol=1e-12)
        self._values = found.y[:, -1].reshape(2, -1)

    def _slope(self, u, odd=False):
        """The derivative of even functions, or of odd ones, by their series."""
        inner = u[..., -2:0:-1]
        periodic = np.concatenate([u, -inner if odd else inner], axis=-1)
        waves = 1j * np.pi * np.arange(self._modes + 1)
        waves[-1] = 0.0
        derived = np.fft.irfft(waves * np.fft.rfft(periodic), n=2 * self._modes)
        return derived[..., : self._modes + 1]

    def __call__(self, x):
        """The solution at points, shape (n, 2)."""
        periodic = np.concatenate([self._values, self._values[:, -2:0:-1]], axis=1)
        series = np.fft.rfft(periodic).real / self._modes
        series[:, [0, -1]] *= 0.5
        return np.cos(np.pi * np.outer(x, np.arange(self._modes + 1))) @ series.T

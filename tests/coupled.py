"""Two coupled flows on small meshes, with states that have vacuum."""

import numpy as np
import ufl
from references import mesh_of

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

"""Constants and functions of DOLFINx in an energy are read anew: a potential may change from step to step."""

import numpy as np
import pytest
from dolfinx import fem
from references import COMM, DIRECT, mesh_of

from fem_models.energies import Boltzmann, Density, Dirichlet, Potential
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.flow.log_density import LogDensityFlow
from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.schemes.log_density_euler import LogDensity
from fem_models.steady.steady_state import steady_state

SCHEMES = {
    "backward Euler": lambda flow: BackwardEuler(flow, settings=DIRECT),
    "BDF2": lambda flow: Bdf2(flow, "average", settings=DIRECT),
    "JKO": lambda flow: Jko(flow, settings=DIRECT),
    "JKO of two slabs": lambda flow: Jko(flow, settings=DIRECT, slabs=2),
    "JKO-BDF2": lambda flow: JkoBdf2(flow, settings=DIRECT),
    "log-density": lambda flow: LogDensity(flow, DIRECT),
}


def constant_potential(mesh):
    strength = fem.Constant(mesh, 1.0)
    return Potential(lambda x: strength * x[0]), lambda value: setattr(strength, "value", value)


def function_potential(mesh):
    V = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)))

    def change(value):
        V.interpolate(lambda x: value * x[0])

    change(1.0)
    return Potential(V), change


def linear_density(mesh):
    strength = fem.Constant(mesh, 1.0)
    expression = Density(lambda fields, x: strength * x[0] * fields["rho"], of="rho")
    return expression, lambda value: setattr(strength, "value", value)


@pytest.mark.parallel
@pytest.mark.parametrize("data", [constant_potential, function_potential, linear_density])
@pytest.mark.parametrize("title", SCHEMES)
def test_a_potential_that_changes_is_that_of_the_step(title, data):
    mesh = mesh_of("interval", cells=30)
    kind = (lambda flow: LogDensityFlow(flow, 1)) if title == "log-density" else (lambda flow: flow)
    term, change = data(mesh)
    flow = kind(GradientFlow(mesh, Species(), Boltzmann() + term))
    other = kind(GradientFlow(mesh, Species(), Boltzmann() + Potential("5*x")))
    start = flow.state("1 + 0.3*cos(pi*x)", 1.0)
    scheme = SCHEMES[title](flow)
    first = scheme.step(start, 0.05).state
    change(5.0)
    assert flow.energy(first) == pytest.approx(other.energy(first), rel=1e-13)
    expected = SCHEMES[title](other)
    expected.restore(scheme.memory())
    found, wanted = scheme.step(first, 0.05).state, expected.step(first, 0.05).state
    assert np.abs(found - wanted).max(initial=0.0) < 1e-9
    # The force of the first step would lead elsewhere.
    assert COMM.allreduce(float(np.abs(found - first).max(initial=0.0))) > 0.05


@pytest.mark.parallel
def test_a_steady_state_is_that_of_the_moment():
    mesh = mesh_of("interval", cells=30)
    term, change = constant_potential(mesh)
    flow = GradientFlow(mesh, Species(), Boltzmann() + term)
    steady_state(flow, 1.0)
    change(5.0)
    found = steady_state(flow, 1.0)
    assert flow.maxima(found)["rho"] / flow.minima(found)["rho"] == pytest.approx(np.exp(5.0), rel=1e-9)


@pytest.mark.parallel
@pytest.mark.parametrize("kind", ["constant", "function"])
@pytest.mark.parametrize("title", ["backward Euler", "BDF2"])
def test_a_diffusivity_that_changes_is_that_of_the_step(title, kind):
    mesh = mesh_of("rectangle", cells=(6, 6))
    a = fem.Constant(mesh, 1.0) if kind == "constant" else fem.Function(fem.functionspace(mesh, ("DG", 0)))

    def change(value):
        if kind == "constant":
            a.value = value
        else:
            a.x.array[:] = value

    change(0.1)
    local = Density(lambda fields, x: 0.5 * fields["c"] ** 2, of="c")
    flows = [
        GradientFlow(mesh, Species("c", "l2"), local + Dirichlet("c", given)) for given in (a, lambda x: 2.0)
    ]
    start = flows[0].state(lambda x: np.cos(np.pi * x[0]) + x[1])
    scheme, expected = (SCHEMES[title](flow) for flow in flows)
    first = scheme.step(start, 0.05).state
    change(2.0)
    assert flows[0].energy(first) == pytest.approx(flows[1].energy(first), rel=1e-12)
    expected.restore(scheme.memory())
    found, wanted = scheme.step(first, 0.05).state, expected.step(first, 0.05).state
    assert np.abs(found - wanted).max(initial=0.0) < 1e-9
    assert COMM.allreduce(float(np.abs(found - first).max(initial=0.0))) > 0.05

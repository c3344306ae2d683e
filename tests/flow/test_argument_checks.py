"""What users may hand to a gradient flow, and the sentences about what they may not."""

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from references import COMM, mesh_of

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, Density, Interaction, Potential, PowerLaw
from fem_models.expressions import Expression
from fem_models.flow.checks import check_step
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes import domains as meshes

from dolfinx import fem  # isort: skip
from dolfinx import mesh as dmesh  # isort: skip


def square():
    return mesh_of("rectangle", cells=(4, 4))


def quadrilaterals():
    return dmesh.create_unit_square(COMM, 4, 4, dmesh.CellType.quadrilateral)


def flow_of_one():
    return GradientFlow(square(), Species(), Boltzmann())


def flow_of_two():
    return GradientFlow(square(), [Species("u"), Species("v")], Boltzmann("u") + PowerLaw(2, "v"))


@pytest.mark.parallel
def test_a_mesh_with_named_parts_makes_the_same_flow():
    marked = meshes.build(COMM, "rectangle", cells=(4, 4))
    flow = GradientFlow(marked, Species(), Boltzmann())
    assert flow.mesh is marked.mesh
    assert flow.energy(flow.state(2.0)) == pytest.approx(2.0 * np.log(2.0))


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientFlow(None, Species(), Boltzmann()), r"The mesh must come from .* not None\."),
        (lambda: GradientFlow(quadrilaterals(), Species(), Boltzmann()), "cells of kind quadrilateral"),
        (
            lambda: GradientFlow(square(), "u", Boltzmann("u")),
            r"The species must be a Species or a list of them, not 'u': write Species\('u'\)\.",
        ),
        (lambda: GradientFlow(square(), ["u"], Boltzmann("u")), r"not 'u': write Species\('u'\)"),
        (lambda: GradientFlow(square(), Boltzmann(), Species()), "The species must be .* not a Boltzmann"),
        (lambda: GradientFlow(square(), [], Boltzmann()), "at least one species"),
        (
            lambda: GradientFlow(square(), Species(), [Boltzmann(), Potential(1.0)]),
            r"The energy must be a term or a sum of terms, not a list: add them with \+, or by sum\(",
        ),
        (lambda: GradientFlow(square(), Species(), None), "The energy must be .* not None"),
        (lambda: GradientFlow(square(), Species(), "u log u"), "The energy must be .* not 'u log u'"),
        (
            lambda: GradientFlow(square(), Species(), Potential(lambda x: np.sin(x[0]))),
            "The potential V of the energy term potential is a function with NumPy functions",
        ),
        (
            lambda: GradientFlow(
                square(), [Species("u"), Species("v")], Density(lambda f, x: f["v"] ** 2, of="u")
            ),
            r"The energy term density uses the field 'v', which is not in its `of` \(u\)",
        ),
        (lambda: GradientFlow(square(), Species("u"), Density("u*w", of="u")), "unknown name 'w'"),
        (
            lambda: GradientFlow(square(), Species(), Interaction(lambda z: z)),
            "The kernel of the energy term interaction must have one value for each",
        ),
        (lambda: Species(3), "The name of a species must be a text, not 3"),
    ],
)
def test_arguments_of_a_flow(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert len(set(COMM.allgather(str(caught.value)))) == 1


def test_the_shell_of_the_whole_space_has_no_densities():
    space = meshes.build(MPI.COMM_SELF, "space", h=0.7)
    with pytest.raises(InputError, match='region "shell", which stands for the rest of space'):
        GradientFlow(space, Species(), Boltzmann())
    GradientFlow(space, Species(), Boltzmann(), cells=space.regions["ball"])


INITIAL = {
    "number": 1.25,
    "text": "1 + x*y",
    "formula": Expression("1 + x*y", ("x", "y")),
    "NumPy": lambda x: 1.0 + np.multiply(x[0], x[1]),
    "UFL function": lambda x: 1.0 + x[0] * ufl.sqrt(x[1] ** 2),
}


@pytest.mark.parallel
@pytest.mark.parametrize("name", INITIAL)
def test_initial_values_however_they_are_given(name):
    flow = flow_of_one()
    exact = 1.25 if name == "number" else 1.0 + flow.points[:, 0] * flow.points[:, 1]
    for initial in (INITIAL[name], {"rho": INITIAL[name]}):
        np.testing.assert_allclose(flow.state(initial)[:, 0], exact, rtol=1e-14)


@pytest.mark.parallel
def test_initial_values_on_the_mesh():
    flow = flow_of_one()
    exact = 1.0 + flow.points[:, 0] * flow.points[:, 1]
    given = fem.Function(flow.space)
    given.x.array[:] = exact
    x = ufl.SpatialCoordinate(flow.mesh)
    for initial in (1.0 + x[0] * x[1], given, exact):
        np.testing.assert_allclose(flow.state(initial)[:, 0], exact, rtol=1e-14)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("make", "initial", "masses", "message"),
    [
        (flow_of_one, {"u": 1.0}, None, "The initial values have none for rho, only for u"),
        (flow_of_one, {}, None, "The initial values have none for rho, only for no species at all"),
        (flow_of_one, {"rho": 1.0, "w": 1.0}, None, "have one for 'w', which is not a species"),
        (flow_of_two, 1.0, None, r"must be given by species, as in {'u': \.\.\.}: they are u, v"),
        (flow_of_two, {"u": 1.0}, None, "have none for v, only for u"),
        (flow_of_one, None, None, "The initial rho must be a number, text, or a function of x in NumPy"),
        (flow_of_one, "x +", None, "The initial rho: 'x \\+' cannot be read"),
        (flow_of_one, "x", {"w": 1.0}, "The masses have one for 'w', which is not a species"),
        (flow_of_one, "x", "1", "The mass of rho must be a positive finite number, not '1'"),
        (flow_of_two, {"u": 1.0, "v": 1.0}, 1.0, "The masses must be given by species"),
    ],
)
def test_initial_values_that_are_refused(make, initial, masses, message):
    with pytest.raises(InputError, match=message):
        make().state(initial, masses)


@pytest.mark.parallel
def test_a_column_is_no_function():
    flow = flow_of_one()
    with pytest.raises(
        InputError, match=r"The initial rho must have one value for each of \d+ points.*, 1\)"
    ):
        flow.state(np.ones((flow.nodes, 1)))


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u: u[:, 0], r"The state must be an array of shape \(\d+, 1\).* not one of shape \(\d+,\)"),
        (lambda u: u[:-1], r"not one of shape"),
        (lambda u: u.tolist(), "not a list"),
        (lambda u: None, "not None"),
        (lambda u: u.astype(np.float32), "values of type float64, not float32"),
    ],
)
def test_masses_of_something_else(change, message):
    flow = flow_of_one()
    with pytest.raises(InputError, match=message):
        flow.masses(change(flow.state(1.0)))


class _Step:
    def __init__(self, state):
        self.state = state


def _spoilt(state, value):
    state = state.copy()
    # On one rank only: all of them raise.
    if COMM.rank == 0:
        state[0, 0] = value
    return state


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("change", "tau", "message"),
    [
        (lambda u: u[:, 0], 0.1, r"The state before the step must be an array of shape .* not one of shape"),
        (lambda u: u[:-1], 0.1, "The state before the step must be an array of shape"),
        (_Step, 0.1, r"not a _Step: take its `state`\."),
        (lambda u: _spoilt(u, np.nan), 0.1, "The state before the step is not finite everywhere"),
        (lambda u: _spoilt(u, np.inf), 0.1, "The state before the step is not finite everywhere"),
        (lambda u: u if COMM.rank else u[:-1], 0.1, "The state before the step must be an array"),
        (lambda u: u, 0.0, r"The time step must be a positive finite number, not 0\.0"),
        (lambda u: u, np.nan, "The time step must be a positive finite number, not nan"),
        (lambda u: u, "0.1", "The time step must be a positive finite number, not '0.1'"),
        (lambda u: u, None, "The time step must be a positive finite number, not None"),
    ],
)
def test_states_and_sizes_of_steps(change, tau, message):
    flow = flow_of_one()
    with pytest.raises(InputError, match=message) as caught:
        check_step(flow, change(flow.state(1.0)), tau)
    assert len(set(COMM.allgather(str(caught.value)))) == 1


@pytest.mark.parallel
def test_text_in_energies():
    two = [Species("u"), Species("v")]
    state = {"u": "1 + x", "v": 2.0}
    text = Potential("x*y", "u") + Density("u*v**2", ("u", "v")) + Interaction("exp(-r**2)", ("u", "v"))
    functions = (
        Potential(lambda x: x[0] * x[1], "u")
        + Density(lambda f, x: f["u"] * f["v"] ** 2, ("u", "v"))
        + Interaction(lambda z: np.exp(-(z**2).sum(axis=0)), ("u", "v"))
    )
    flows = [GradientFlow(square(), two, energy) for energy in (text, functions)]
    energies = [list(flow.energy_terms(flow.state(state)).values()) for flow in flows]
    np.testing.assert_allclose(energies[0], energies[1], rtol=1e-13)

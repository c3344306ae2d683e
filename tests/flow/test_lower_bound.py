"""Energies with and without a lower bound, by their behaviour at infinity."""

import numpy as np
import pytest
import ufl
from references import COMM, mesh_of

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, Density, Dirichlet, Interaction, PowerLaw, Quadratic
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.flow.lower_bound import check_bounded
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.excluded_volume import excluded_volume
from fem_models.systems.fokker_planck import fokker_planck
from fem_models.systems.poisson_nernst_planck import IONS, Ion, poisson_nernst_planck
from fem_models.systems.two_component import quadratic_potentials, two_component

SQUARE = {"cells": (5, 5)}
ONE = (Species("rho"),)
TWO = (Species("u"), Species("v"))
SIGNAL = (Species("u"), Species("c", "l2"))
CENTERS = quadratic_potentials(1.0, [(0.0, 0.0), (1.0, 1.0)])


def square():
    return mesh_of("rectangle", **SQUARE)


def of(density, *more, species=ONE):
    """A flow of an energy density, and further terms."""
    names = tuple(s.name for s in species)
    energy = Density(lambda fields, x: density(*(fields[name] for name in names), x), of=names)
    for term in more:
        energy = energy + term
    return GradientFlow(square(), species, energy)


BOUNDED = {
    "linear diffusion": lambda: fokker_planck(square(), potential=lambda x: -1e3 * x[0]),
    "porous medium": lambda: fokker_planck(square(), m=4),
    "fast diffusion": lambda: fokker_planck(square(), m=0.5),
    "transport": lambda: fokker_planck(square(), diffusion=0.0, potential=lambda x: -1e3 * x[0]),
    "excluded volume": lambda: excluded_volume(square(), coefficient=0.3),
    "two components": lambda: two_component(square(), CENTERS, 2, 32.0),
    "two components, m = 1": lambda: two_component(square(), CENTERS, 1, 8.0),
    "two components, m = 5": lambda: two_component(square(), CENTERS, 5, 8.0),
    "kernel": lambda: two_component(square(), CENTERS, 2, 8.0, kernel=lambda z: -np.exp(-(z**2).sum(0))),
    "chemotaxis": lambda: chemotaxis(square(), m=2, epsilon=50.0),
    "Keller and Segel": lambda: chemotaxis(square(), m=1, epsilon=5.0, kappa=1e-3),
    "a signal with a bounded effect": lambda: chemotaxis(square(), kappa=0.0, phi=lambda c: -ufl.tanh(c)),
    "ions": lambda: poisson_nernst_planck(square()),
    "three ions, m = 2": lambda: poisson_nernst_planck(square(), [*IONS, Ion("w", -2.0)], m=2),
    "cubic against quadratic": lambda: of(lambda rho, x: 1e-3 * rho**3 - rho**2),
    "concave and linear at infinity": lambda: of(lambda rho, x: -ufl.sqrt(1 + rho**2) - ufl.sqrt(rho + 0.1)),
    "a slope that falls to a limit": lambda: of(lambda rho, x: ufl.sqrt(rho + 0.1) - rho),
    "half of the entropy": lambda: of(lambda rho, x: -0.5 * rho * ufl.ln(rho + 1), Boltzmann()),
    "a balanced force and tension": lambda: of(
        lambda u, c, x: u**2 + (x[0] - 0.5) * c, Dirichlet("c"), species=SIGNAL
    ),
    "almost cancelling": lambda: of(lambda u, v, x: u**2 + v**2 - 1.99 * u * v, species=TWO),
    "a perfect square": lambda: of(lambda u, v, x: (u - v) ** 2, species=TWO),
    "attraction": lambda: GradientFlow(
        square(), Species(), PowerLaw(1.1) + Interaction(lambda z: 5 * (z**2).sum(0))
    ),
}

UNBOUNDED = {
    "-ρ²": (lambda: of(lambda rho, x: -(rho**2)), "as rho grows;"),
    "-ρ² with entropy": (
        lambda: GradientFlow(square(), Species(), Boltzmann() + Quadratic(-1e-3)),
        "as rho grows;",
    ),
    "attracting particles": (lambda: excluded_volume(square(), coefficient=-0.3), "as rho grows;"),
    "-ρ log ρ": (lambda: of(lambda rho, x: -rho * ufl.ln(rho + 1)), "as rho grows;"),
    "in a part of the domain": (lambda: of(lambda rho, x: (x[0] - 0.1) * rho**2), "as rho grows;"),
    "two together": (
        lambda: of(lambda u, v, x: u**2 + v**2 - 2.01 * u * v, species=TWO),
        "as u and v grow;",
    ),
    "two in another ratio": (
        lambda: of(lambda u, v, x: u**2 + 100 * v**2 - 25 * u * v, species=TWO),
        "as u and v grow;",
    ),
    "a signal without decay": (lambda: chemotaxis(square(), kappa=0.0), "as c grows;"),
    "a logarithmic signal": (
        lambda: chemotaxis(square(), kappa=0.0, phi=lambda c: ufl.ln(1 + c**2) * -1.0),
        "as c grows;",
    ),
    "a cubic signal": (lambda: chemotaxis(square(), phi=lambda c: c**3), "as c falls;"),
    "a force at some nodes": (
        lambda: of(lambda u, c, x: u**2 + x[0] * c, species=SIGNAL),
        "as c falls;",
    ),
    "a concave field": (
        lambda: of(lambda u, c, x: u**2, Quadratic(-1.0, "c"), Dirichlet("c"), species=SIGNAL),
        "as c grows;",
    ),
    "backward heat": (
        lambda: of(lambda u, c, x: u**2 + c**2, Dirichlet("c", -1.0), species=SIGNAL),
        "as c oscillates, by a Dirichlet energy",
    ),
}


def state_of(flow):
    """A state with some of everything."""
    return flow.nodal_values({name: lambda x, s=s: 0.5 + s + x[0] for s, name in enumerate(flow.names)})


@pytest.mark.parallel
@pytest.mark.parametrize("name", BOUNDED)
def test_energies_with_a_bound_pass(name):
    flow = BOUNDED[name]()
    check_bounded(flow, state_of(flow))


@pytest.mark.parallel
@pytest.mark.parametrize("name", UNBOUNDED)
def test_energies_without_a_bound_are_refused_on_all_ranks(name):
    build, how = UNBOUNDED[name]
    flow = build()
    with pytest.raises(InputError, match="no lower bound, which minimising movements need") as error:
        check_bounded(flow, state_of(flow))
    assert f"it falls without end {how}" in str(error.value)
    assert len(set(COMM.allgather(str(error.value)))) == 1


@pytest.mark.parallel
def test_the_values_of_other_fields_count():
    # At c = 3 the energy of the density is 3ρ², at c = -3 it is -3ρ².
    flow = of(lambda u, c, x: c * u**2 + c**4, species=SIGNAL)
    check_bounded(flow, flow.state({"u": 1.0, "c": 3.0}))
    with pytest.raises(InputError, match="as u grows"):
        check_bounded(flow, flow.state({"u": 1.0, "c": -3.0}))

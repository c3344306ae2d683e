"""The same numbers on 1, 2 and 3 ranks."""

import numpy as np
import pytest
from references import DIRECT, SCHEMES, bump, flow_of, mesh_of, quadratic_potential

from fem_models.energies import Boltzmann, Density, Potential, PowerLaw
from fem_models.exact.fokker_planck import drift_diffusion
from fem_models.flow.gradient_flow import GradientFlow, Species


def porous(alone):
    flow = flow_of("rectangle", PowerLaw(2) + quadratic_potential(4.0), alone, cells=(12, 12))
    return flow, flow.state(bump((0.6, 0.4)), 1.0)


def entropic(alone):
    flow = flow_of("rectangle", Boltzmann() + Potential(lambda x: -x[0]), alone, cells=(12, 12))
    return flow, flow.state(lambda x: drift_diffusion(x, 0.0))


def solid(alone):
    flow = flow_of("box", PowerLaw(3), alone, cells=(6, 6, 6))
    return flow, flow.state(bump((0.5, 0.4, 0.6)), 1.0)


def coupled(alone):
    energy = PowerLaw(2, of="u", name="a") + Boltzmann(of="v", name="b")
    energy = energy + Density(lambda f, x: 0.3 * f["u"] * f["v"], of=("u", "v"))
    flow = GradientFlow(mesh_of("disk", alone, h=0.2), (Species("u"), Species("v")), energy)
    return flow, flow.state({"u": bump((0.3, 0.0)), "v": bump((-0.3, 0.0))}, {"u": 1.0, "v": 2.0})


def energies(problem, scheme, flux, alone=False):
    flow, state = problem(alone)
    stepper = SCHEMES[scheme](flow, flux, DIRECT)
    found = []
    for _ in range(5):
        state = stepper.step(state, 1e-2).state
        found.append(flow.energy(state))
    return found


@pytest.mark.parallel
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
@pytest.mark.parametrize(
    ("problem", "flux"),
    [(porous, "upwind"), (porous, "average"), (entropic, "upwind"), (solid, "upwind"), (solid, "average")],
)
def test_energies_are_those_of_each_rank_alone(problem, scheme, flux):
    found = energies(problem, scheme, flux)
    assert found == pytest.approx(energies(problem, scheme, flux, alone=True), rel=1e-9)


# The energies of exact solutions tell that these numbers are right.


def test_energies_of_drift_and_diffusion_are_those_of_the_exact_solution():
    # E = ∫ρ (log ρ - x₀) on the square, with ρ of x₀ alone; BDF2 with five steps on twelve cells.
    x, weights = np.polynomial.legendre.leggauss(40)
    x, weights = 0.5 * (1.0 + x), 0.5 * weights
    found = energies(entropic, "bdf2", "upwind")
    for step, energy in enumerate(found, start=1):
        rho = drift_diffusion([x], 1e-2 * step)
        assert energy == pytest.approx(weights @ (rho * (np.log(rho) - x)), rel=5e-3)


@pytest.mark.parallel
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("flux", ["upwind", "average"])
def test_energies_on_an_unstructured_mesh_are_those_of_each_rank_alone(scheme, flux):
    found = energies(coupled, scheme, flux)
    assert found == pytest.approx(energies(coupled, scheme, flux, alone=True), rel=1e-9)

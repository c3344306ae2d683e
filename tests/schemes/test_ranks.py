"""The same numbers on 1, 2 and 3 ranks."""

import pytest
from references import DIRECT, SCHEMES, bump, flow_of, fokker_planck_solution, mesh_of, quadratic_potential

from fem_models.energies import Boltzmann, Density, Potential, PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species


def porous(alone):
    flow = flow_of("rectangle", PowerLaw(2) + quadratic_potential(4.0), alone, cells=(12, 12))
    return flow, flow.state(bump((0.6, 0.4)), 1.0)


def entropic(alone):
    flow = flow_of("rectangle", Boltzmann() + Potential(lambda x: -x[0]), alone, cells=(12, 12))
    return flow, flow.state(lambda x: fokker_planck_solution(x, 0.0))


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


# Energies after five steps of .01, computed once on one rank.
LAST = {
    ("porous", "backward-euler", "upwind"): 2.221883764789,
    ("porous", "backward-euler", "average"): 2.229440388082,
    ("porous", "bdf2", "upwind"): 2.210775104531,
    ("porous", "bdf2", "average"): 2.218166762687,
    ("entropic", "backward-euler", "upwind"): 2.60607759735,
    ("entropic", "bdf2", "upwind"): 2.588386398586,
    ("solid", "backward-euler", "upwind"): 0.5375895203261,
    ("solid", "backward-euler", "average"): 0.5493737024288,
    ("solid", "bdf2", "upwind"): 0.5259493933856,
    ("solid", "bdf2", "average"): 0.5375797608179,
}


@pytest.mark.parallel
@pytest.mark.parametrize(("problem", "scheme", "flux"), LAST)
def test_energies_are_those_of_one_rank(problem, scheme, flux):
    found = energies(globals()[problem], scheme, flux)
    assert found[-1] == pytest.approx(LAST[problem, scheme, flux], rel=1e-9)


@pytest.mark.parallel
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("flux", ["upwind", "average"])
def test_energies_on_an_unstructured_mesh_are_those_of_each_rank_alone(scheme, flux):
    found = energies(coupled, scheme, flux)
    assert found == pytest.approx(energies(coupled, scheme, flux, alone=True), rel=1e-9)

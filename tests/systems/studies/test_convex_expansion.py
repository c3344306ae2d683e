"""The convex expansion: its identity, its parts by hand, and a case with an exact quotient."""

import numpy as np
import pytest
from coupled import hill_with_signal, two_hills
from references import march, mesh_of, total

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.systems.studies.convex_expansion import ConvexExpansion
from fem_models.systems.two_component import quadratic_potentials, two_component

CASES = {
    "local": lambda epsilon: two_hills(2, 2.0, epsilon),
    "cubic": lambda epsilon: two_hills(1, 3.0, epsilon),
    "kernel": lambda epsilon: two_hills(2, 2.0, epsilon, kernel=lambda z: np.exp(-(z**2).sum(axis=0))),
    "chemotaxis": lambda epsilon: hill_with_signal(2, 2.0, epsilon),
}


# On several ranks one local and one non-local coupling are enough.
ON_RANKS = {"kernel", "chemotaxis"}


@pytest.mark.parametrize(
    ("case", "epsilon"),
    [
        pytest.param(case, epsilon, marks=[pytest.mark.parallel] * (case in ON_RANKS and epsilon > 0.0))
        for case in CASES
        for epsilon in (0.0, 0.7)
    ],
)
def test_energy_is_the_sum(case, epsilon):
    flow, state = CASES[case](epsilon)
    center = march(flow, state, 0.3, 3)
    found = ConvexExpansion(flow, center).look({"time": 0.0}, state, None)
    assert abs(found["E"]) > 0.1 and abs(found["A"]) > 1e-4
    assert found["E"] == pytest.approx(found["L"] + epsilon * found["A"], abs=1e-13)
    if epsilon == 0.0:
        assert found["dissipation_L"] == pytest.approx(found["dissipation_E"], rel=1e-13)
    assert found["quotient"] == pytest.approx(found["dissipation_E"] / (2 * found["E"]), rel=1e-13)


@pytest.mark.parallel
def test_parts_by_hand():
    # H = (ρ₁ρ₂/(1+ρ₁+ρ₂))² in one dimension, with its derivatives written out.
    flow, state = two_hills(1, 2.0, 0.7)
    center = march(flow, state, 0.3, 3)
    found = ConvexExpansion(flow, center).look({"time": 0.0}, state, None)

    def H(u):
        return (u[:, 0] * u[:, 1] / (1 + u.sum(axis=1))) ** 2

    a, b = center.T
    slope = (2 * a * b / (1 + a + b) ** 3 * np.array([b * (1 + b), a * (1 + a)])).T
    A = total(flow, flow.geometry.volumes * (H(state) - H(center) - ((state - center) * slope).sum(axis=1)))
    assert found["A"] == pytest.approx(A, rel=1e-10)
    # |∂L|² is the sum over edges of h ρ (∂μ)² with the density upwind.
    x = flow.points[:, 0]
    mu = 2 * state + 0.5 * np.column_stack([x + 0.25, x - 0.25]) ** 2 + 0.7 * slope
    own = np.column_stack([x, state, mu])[: flow.owned]
    table = np.concatenate(flow.comm.allgather(own))
    table = table[np.argsort(table[:, 0])]
    rho, mu = table[:, 1:3], table[:, 3:]
    upwind = np.where(mu[1:] > mu[:-1], rho[1:], rho[:-1])
    expected = (upwind * np.diff(mu, axis=0) ** 2).sum() / (4.0 / 60)
    assert found["dissipation_L"] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parallel
def test_non_local_part_is_a_double_sum():
    flow, state = two_hills(1, 2.0, 0.7, kernel=lambda z: np.exp(-(z**2).sum(axis=0)))
    center = march(flow, state, 0.3, 3)
    found = ConvexExpansion(flow, center).look({"time": 0.0}, state, None)
    weighted = (flow.geometry.volumes[:, None] * (state - center))[: flow.owned]
    x, w = (np.concatenate(flow.comm.allgather(part)) for part in (flow.points[: flow.owned, 0], weighted))
    expected = w[:, 0] @ np.exp(-(np.subtract.outer(x, x) ** 2)) @ w[:, 1]
    assert found["A"] == pytest.approx(expected, rel=1e-8)


def test_quotient_of_translated_gaussians():
    # For ρ log ρ + λx²/2 and the unit Gaussian moved by a: E = λa²/2 and |∂E|² = λ²a², so the quotient is λ.
    mesh = mesh_of("interval", lower=(-7.0,), upper=(7.0,), cells=(1400,))
    flow = two_component(mesh, quadratic_potentials(2.0, [(0.0,), (0.0,)]), 1.0, 0.0)

    def gaussian(a):
        return lambda x: np.exp(-((x[0] - a) ** 2))

    steady = flow.state({"rho1": gaussian(0.0), "rho2": gaussian(0.0)}, {"rho1": 1.0, "rho2": 1.0})
    moved = flow.state({"rho1": gaussian(0.5), "rho2": gaussian(0.0)}, {"rho1": 1.0, "rho2": 1.0})
    expansion = ConvexExpansion(flow, steady)
    found = expansion.look({"time": 0.0}, moved, None)
    assert found["E"] == pytest.approx(0.25, rel=1e-4)
    assert found["dissipation_E"] == pytest.approx(1.0, rel=2e-2)
    assert found["quotient"] == pytest.approx(2.0, rel=2e-2)
    assert np.isnan(expansion.look({"time": 0.0}, steady, None)["quotient"])
    assert expansion.warnings() == []


def test_an_energy_without_coupling_is_refused():
    flow = GradientFlow(mesh_of("interval", cells=(4,)), Species(), Boltzmann())
    with pytest.raises(InputError, match='needs an energy with a term "coupling"; this one has boltzmann'):
        ConvexExpansion(flow, flow.state(lambda x: 1.0 + x[0]))

"""The least eigenvalue of the Hessian over a range, against closed forms and dense grids."""

import numpy as np
import pytest
import ufl
from references import mesh_of

from fem_models.energies import Density, Energy, PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.studies.flat_convexity import convexity_warning, flat_convexity
from fem_models.systems.two_component import quadratic_potentials, two_component

ZERO = {"rho1": 0.0, "rho2": 0.0}


def pair(epsilon, m=2.0, coupling=None):
    mesh = mesh_of("interval", cells=(40,))
    return two_component(mesh, quadratic_potentials(1.0, [(0.0,), (0.0,)]), m, epsilon, coupling)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 3.0])
def test_a_constant_hessian(epsilon):
    # e = ρ₁² + ρ₂² + ερ₁ρ₂ has the scaled Hessian [[1, ε/2], [ε/2, 1]].
    flow = pair(epsilon, coupling=lambda f: f["rho1"] * f["rho2"])
    found = flat_convexity(flow, ZERO, {"rho1": 1.0, "rho2": 7.0})
    assert found == pytest.approx(1.0 - 0.5 * epsilon, abs=1e-12)


def test_entropies_count():
    # e = ρ₁ log ρ₁ + ρ₂ log ρ₂ + ερ₁ρ₂: the least is 1 - ε√(ρ₁ρ₂), at the largest densities.
    flow = pair(0.3, 1.0, lambda f: f["rho1"] * f["rho2"])
    found = flat_convexity(flow, ZERO, {"rho1": 2.0, "rho2": 8.0})
    assert found == pytest.approx(1.0 - 0.3 * 4.0, abs=1e-12)


@pytest.mark.parametrize("epsilon", [1.0, 12.0])
def test_the_coupling_of_the_slides(epsilon):
    # Second differences of e on a dense grid, the diagonal and the mixed one.
    a, b = np.meshgrid(*(np.linspace(0.002, 1.5, 300),) * 2)
    h = 1e-3

    def e(a, b):
        return a**2 + b**2 + epsilon * (a * b / (1 + a + b)) ** 2

    aa = (e(a + h, b) - 2 * e(a, b) + e(a - h, b)) / h**2
    bb = (e(a, b + h) - 2 * e(a, b) + e(a, b - h)) / h**2
    ab = (e(a + h, b + h) - e(a + h, b - h) - e(a - h, b + h) + e(a - h, b - h)) / (4 * h**2)
    expected = (1.0 - np.abs(ab) / np.sqrt(aa * bb)).min()
    found = flat_convexity(pair(epsilon), ZERO, {"rho1": 1.5, "rho2": 1.5})
    assert found == pytest.approx(expected, abs=5e-3)
    assert (found < 0.0) == (epsilon > 8.0)


@pytest.mark.parallel
def test_an_energy_that_depends_on_the_place():
    # e = u² + w² + x u w on (0, 3): the least is 1 - x/2 at x = 3, the last node.
    mesh = mesh_of("interval", upper=(3.0,), cells=(50,))
    terms = [PowerLaw(2, "u", name="a"), PowerLaw(2, "w", name="b")]
    terms.append(Density(lambda f, x: x[0] * f["u"] * f["w"], ("u", "w"), "c"))
    flow = GradientFlow(mesh, [Species("u"), Species("w")], Energy(terms))
    found = flat_convexity(flow, {"u": 0.0, "w": 0.0}, {"u": 1.0, "w": 1.0})
    assert found == pytest.approx(-0.5, abs=1e-12)


@pytest.mark.parallel
def test_a_signal_between_its_extremes():
    # e = ρ² + c²/2 + εcos(c)ρ for c in [-1, ½]: the Hessian is [[2, -ε sin c], [-ε sin c, 1 - ε cos(c) ρ]].
    epsilon, rho, c = 0.4, *np.meshgrid(np.linspace(0, 1.2, 400), np.linspace(-1, 0.5, 400))
    expected = (1 - epsilon * np.abs(np.sin(c)) / np.sqrt(2 * (1 - epsilon * np.cos(c) * rho))).min()
    flow = chemotaxis(mesh_of("interval", cells=(40,)), 0.0, 2.0, epsilon, 1.0, ufl.cos)
    found = flat_convexity(flow, {"rho": 0.3, "c": -1.0}, {"rho": 1.2, "c": 0.5})
    assert found == pytest.approx(expected, abs=2e-3)


def test_the_warning_says_the_number():
    largest = {"rho1": 1.0, "rho2": 1.0}
    assert convexity_warning(pair(0.5), ZERO, largest) is None
    product = pair(3.0, coupling=lambda f: f["rho1"] * f["rho2"])
    text = convexity_warning(product, ZERO, largest)
    assert "rho1 ≤ 1, rho2 ≤ 1" in text and "is -0.5." in text and "smaller coupling" in text

"""What else runs on tori, against exact solutions: coupled densities, JKO steps, steady states, distances."""

import math
from functools import cache

import numpy as np
import ot
import pytest
from mpi4py import MPI

import fem_models as fm
from fem_models.exact.spectral import LegendreElement, evolve
from fem_models.flow.log_density import LogDensityFlow
from fem_models.schemes.log_density_euler import LogDensity

COMM = MPI.COMM_WORLD
END = 0.01
RATE = 4 * math.pi**2


@cache
def torus(*cells):
    return fm.mesh("torus", cells=list(cells))


def l1(discrete, found, exact):
    """Σ_i m_i |found_i - exact_i| of nodal values, shape (owned nodes,)."""
    return COMM.allreduce(float(discrete.geometry.volumes[: discrete.owned] @ np.abs(found - exact)))


@pytest.mark.parallel
@pytest.mark.parametrize("scheme", [fm.Bdf2(flux="average"), fm.Jko(slabs=2)])
def test_two_coupled_densities_against_a_spectral_method(scheme):
    """∂tu = Δu² + κ div(u∇v) and the same with u and v exchanged, on a circle of length 2.

    Even densities have no flux at 0 and 1: half a period is an interval, where a spectral method is exact.
    """
    kappa, line = 0.5, LegendreElement(24)
    initial = [lambda x: 1 + 0.5 * np.cos(np.pi * x), lambda x: 1 - 0.3 * np.cos(2 * np.pi * x)]

    def rate(u):
        return [
            line.divergence(2 * u[s] * (line.D @ u[s]) + kappa * u[s] * (line.D @ u[1 - s])) for s in (0, 1)
        ]

    found, errors = evolve(line, initial, rate, 0.02), []
    for count in (32, 64):
        energy = fm.PowerLaw(2, "u", name="first") + fm.PowerLaw(2, "v", name="second")
        coupling = fm.Density(f"{kappa}*u*v", of=("u", "v"))
        flow = fm.Flow(fm.mesh("torus", lengths=[2.0], cells=[count]), energy + coupling)
        rho = flow.state({"u": "1 + 0.5*cos(pi*x)", "v": "1 - 0.3*cos(2*pi*x)"})
        # JKO steps are of first order in τ, and BDF2 of second.
        steps = count // 4 if isinstance(scheme, fm.Bdf2) else count**2 // 64
        *_, moment = fm.evolve(flow, rho, scheme, step=0.02 / steps, until=0.02)
        exact = found(1 - np.abs(1 - moment.state.points[:, 0]))

        errors.append(sum(l1(flow.discrete, moment.state.array[:, s], exact[:, s]) for s in (0, 1)))
        for name, mass in rho.masses().items():
            assert abs(moment.masses[name] - mass) <= 1e-13 * mass
    assert errors[1] < 4e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.3)


@pytest.mark.parallel
@pytest.mark.parametrize(("scheme", "order"), [(fm.Jko(slabs=2), 1.0), (fm.Ljko(), 1.0), (fm.JkoBdf2(), 2.0)])
def test_movements_follow_a_mode_of_the_heat_equation_to_their_order(scheme, order):
    """ρ = 1 + a e^{-4π²t} cos(2πx - 1); what the mesh does to the rate is a thousandth of that."""
    flow = fm.Flow(torus(64), fm.Boltzmann())
    rho, errors = flow.state("1 + 0.2*cos(2*pi*x - 1)"), []
    for count in (4, 8):
        *_, moment = fm.evolve(flow, rho, scheme, step=END / count, until=END)
        mode = np.cos(2 * np.pi * moment.state.points[:, 0] - 1)
        errors.append(l1(flow.discrete, moment.state.array[:, 0], 1 + 0.2 * math.exp(-RATE * END) * mode))
        assert abs(moment.masses["rho"] - 1) <= 1e-13
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parallel
def test_a_step_on_a_torus_in_the_plane_is_that_on_a_circle():
    """A density that depends on x alone moves along x alone: by JKO steps too, with the same numbers."""
    ends = []
    for cells in ([12], [12, 5]):
        flow = fm.Flow(torus(*cells), fm.Boltzmann())
        step = fm.Jko(flow, slabs=2).step(flow.state("1 + 0.5*cos(2*pi*x)"), tau=0.02)
        whole = np.zeros(12)
        numbers = flow.discrete.keys
        whole[numbers[numbers < 12]] = step.state.array[numbers < 12, 0]
        ends.append((COMM.allreduce(whole), step.movement.distances["rho"]))
    np.testing.assert_allclose(ends[1][0], ends[0][0], rtol=1e-7)
    assert ends[1][1] == pytest.approx(ends[0][1], rel=1e-7)


@pytest.mark.parallel
@pytest.mark.parametrize("cells", [(24,), (8, 9), (3, 4, 5)])
def test_steady_states_are_those_of_the_potential(cells):
    """Boltzmann's is e^{-V} up to a factor, that of ρ² is (C - V)₊/2 with vacuum, both at the nodes."""
    V = fm.Potential("3*cos(2*pi*x)")
    flow = fm.Flow(torus(*cells), fm.Boltzmann() + V)
    found = flow.steady_state(1.0)
    potential = 3 * np.cos(2 * np.pi * found.points[:, 0])
    logs = np.log(found.array[:, 0]) + potential
    least, most = COMM.allreduce(logs.min(), op=MPI.MIN), COMM.allreduce(logs.max(), op=MPI.MAX)
    assert most - least < 1e-10
    assert found.masses()["rho"] == pytest.approx(1.0, rel=1e-13)

    flow = fm.Flow(torus(*cells), fm.PowerLaw(2) + V)
    found = flow.steady_state(1.0)
    rho = found.array[:, 0]
    level = COMM.allreduce((2 * rho + potential)[rho > 0].max(initial=-math.inf), op=MPI.MAX)
    assert np.abs(rho - np.maximum(level - potential, 0) / 2).max() < 1e-10
    assert COMM.allreduce(int((rho == 0).sum())) > 0
    assert found.masses()["rho"] == pytest.approx(1.0, rel=1e-13)


@pytest.mark.parallel
def test_the_distance_of_products_in_the_plane_is_that_of_their_factors():
    """A bump of mass 2 moved by 0.3 along x, to the right and to the left across the seam.

    It is not 0.3 √2: the tails of a positive density on a circle go the other way around, so that the
    distance is that of discrete optimal transport on a circle (POT), times √2. And 1 + ½cos 2πx to 1 in both
    directions has W² = 2/(32π²), twice that of one direction.
    """
    x = (np.arange(1000) + 0.5) / 1000
    masses = [np.exp(4 * np.cos(2 * np.pi * (x - center))) for center in (0.0, 0.3)]
    square = ot.wasserstein_circle(x, x, *(mass / mass.sum() for mass in masses), p=2)
    exact, flat = math.sqrt(2 * square.item()), math.sqrt(2 / (32 * math.pi**2))
    assert 0.9 < exact / (0.3 * math.sqrt(2)) < 0.95
    errors = []
    for count, slabs in ((12, 2), (24, 4)):
        flow = fm.Flow(torus(count, count), fm.Boltzmann())
        bumps = [
            flow.state(f"exp(4*cos(2*pi*(x - {a})) + 4*cos(2*pi*(y - 0.2)))", mass=2) for a in (0.8, 0.1, 0.5)
        ]
        moved = fm.wasserstein(bumps[0], bumps[1], slabs=slabs).distance
        errors.append([moved / exact - 1])
        if count == 12:
            back = fm.wasserstein(bumps[0], bumps[2], slabs=slabs).distance
            assert back == pytest.approx(moved, rel=1e-3)
        product = flow.state("(1 + 0.5*cos(2*pi*x))*(1 + 0.5*cos(2*pi*y))")
        errors[-1].append(fm.wasserstein(product, flow.state("1"), slabs=slabs).distance / flat - 1)
    assert np.abs(errors[1]).max() < 0.03
    assert (np.log2(np.abs(errors[0]) / np.abs(errors[1])) > 1.4).all()


@pytest.mark.parallel
@pytest.mark.parametrize(("cells", "degree"), [((8,), 1), ((8,), 2), ((6, 6), 1), ((6, 6), 2)])
def test_the_log_density_has_the_order_of_its_degree_and_one(cells, degree):
    """Euler steps are linear in ρ but for the space: a mode has the factor 1/(1 + 4π²τ) in each of them."""
    errors = []
    for level in (0, 1):
        flow = fm.Flow(torus(*(count * 2**level for count in cells)), fm.Boltzmann()).discrete
        logs = LogDensityFlow(flow, degree)
        state, scheme = logs.state("1 + 0.5*cos(2*pi*x - 1)"), LogDensity(logs)
        mass = logs.masses(state)["rho"]
        for _ in range(2):
            state = scheme.step(state, 0.01).state
        assert abs(logs.masses(state)["rho"] - mass) <= 1e-13
        exact = 1 + 0.5 * np.cos(2 * np.pi * logs.points[:, 0] - 1) / (1 + RATE * 0.01) ** 2
        gap = logs.geometry.volumes * np.abs(state[:, 0] - exact)
        errors.append(logs.integral(gap))
    assert math.log2(errors[0] / errors[1]) > degree + 0.8

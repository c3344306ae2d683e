"""JKO steps against steps in closed form, and their guarantees."""

import numpy as np
import pytest
import ufl
from references import bump, mesh_of, orders, quadratic_potential, total, waves

from fem_models.core.errors import InputError, SolveError
from fem_models.energies import Boltzmann, Density, Dirichlet, Potential, PowerLaw
from fem_models.exact.jko_steps import fokker_planck_step, linear_potential_step, porous_medium_step
from fem_models.exact.profiles import Barenblatt, Gaussian
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.jko.jko_step import Jko
from fem_models.jko.path_problem import PathOutcome
from fem_models.linalg.newton import NewtonSettings

BRICKS = {1: "interval", 2: "rectangle", 3: "box"}


def brick(dim, half, cells, energy, alone=False):
    """The flow of one density on (-half, half)^dim."""
    lower, upper, cells = (value if dim == 1 else [value] * dim for value in (-half, half, cells))
    mesh = mesh_of_brick(dim, lower, upper, cells, alone)
    return GradientFlow(mesh, Species(), energy).with_lumping("cells")


def mesh_of_brick(dim, lower, upper, cells, alone):
    keys = {"lower": lower, "upper": upper, "cells": cells}
    return mesh_of(BRICKS[dim], alone, **{k: tuple(v) if dim > 1 else v for k, v in keys.items()})


def gaussian_width(dim, half, cells, slabs, tau):
    """σ'² of a step of E = ∫ρ log ρ + 2|x|²ρ from N(0, I)."""
    flow = brick(dim, half, cells, Boltzmann() + quadratic_potential(4.0))
    old = flow.state(Gaussian.isotropic(np.zeros(dim), 1.0), 1.0)
    step = Jko(flow, slabs=slabs).step(old, tau)
    return flow.second_moments(step.state)["rho"] / dim


def dilation(dim, half, cells, slabs, tau, m=2.0, flux="average"):
    """s' - 1 and W₂ of a step of E = ∫ρ^m/(m-1) from a Barenblatt profile, and the exact ones."""
    flow = brick(dim, half, cells, PowerLaw(m))
    profile = Barenblatt(m, dim, 1.0, 1.0)
    old = flow.state(profile, profile.mass)
    step = Jko(flow, flux, slabs=slabs).step(old, tau)
    exact = porous_medium_step(profile, tau)
    growth = np.sqrt(flow.second_moments(step.state)["rho"] / flow.second_moments(old)["rho"])
    return growth - 1.0, step.movement.distances["rho"], exact.state.radius - 1.0, np.sqrt(exact.square)


def test_gaussian_step_is_of_second_order_in_h():
    widths = [gaussian_width(1, 5.0, cells, 4, 0.5) for cells in (40, 80, 160)]
    # The error of four slabs stays, and drops out of the differences.
    assert orders(np.abs(np.diff(widths)))[0] == pytest.approx(2.0, abs=0.15)


def test_gaussian_step_is_of_second_order_in_slabs():
    exact = fokker_planck_step(Gaussian.isotropic([0.0], 1.0), 4.0, 0.1).state.covariance[0, 0]
    errors = []
    for slabs in (2, 4):
        coarse, fine = (gaussian_width(1, 5.0, cells, slabs, 0.1) for cells in (80, 160))
        errors.append(abs(fine + (fine - coarse) / 3.0 - exact))
    assert orders(errors)[0] > 1.6


@pytest.mark.parametrize(("dim", "half", "cells", "slabs"), [(1, 5.0, 160, 4), (2, 4.0, 28, 2)])
def test_gaussian_step_is_not_that_of_backward_euler(dim, half, cells, slabs):
    exact = fokker_planck_step(Gaussian.isotropic(np.zeros(dim), 1.0), 4.0, 0.5).state.covariance[0, 0]
    assert exact == pytest.approx(0.36921, abs=5e-6)
    coarse, fine = (gaussian_width(dim, half, n, slabs, 0.5) for n in (cells // 2, cells))
    # Backward Euler gives 0.4.
    assert fine + (fine - coarse) / 3.0 == pytest.approx(exact, abs=4e-3)


def test_gaussian_step_in_3d():
    # The means of the mass move by a' = a/(1 + λτ), whatever the errors of the widths.
    center = np.array([0.5, -0.4, 0.3])
    flow = brick(3, 2.0, 6, Boltzmann(coefficient=0.1) + quadratic_potential(4.0))
    old = flow.state(Gaussian.isotropic(center, 0.5), 1.0)
    step = Jko(flow, slabs=2).step(old, 0.1)
    for k in range(3):
        before, after = (
            total(flow, flow.geometry.volumes * flow.points[:, k] * state[:, 0])
            for state in (old, step.state)
        )
        assert after == pytest.approx(before / 1.4, rel=0.1)


@pytest.mark.parametrize("tau", [1e-3, 1e-2, 1e-1, 1.0])
@pytest.mark.parametrize(("dim", "cells", "share"), [(1, 80, 0.01), (2, 24, 0.035)])
def test_barenblatt_step_for_any_step_size(dim, cells, share, tau):
    growth, distance, exact, exact_distance = dilation(dim, 2.5, cells, 4, tau)
    assert growth == pytest.approx(exact, rel=share)
    assert distance == pytest.approx(exact_distance, rel=1.5 * share)


def test_barenblatt_step_in_3d():
    coarse, fine = (dilation(3, 1.8, cells, 2, 0.3) for cells in (5, 10))
    assert fine[0] == pytest.approx(fine[2], rel=0.08)
    assert abs(fine[0] - fine[2]) < 0.4 * abs(coarse[0] - coarse[2])


def test_barenblatt_step_is_of_second_order_in_h():
    errors = []
    for cells in (40, 160):
        growth, _, exact, _ = dilation(1, 2.5, cells, 8, 0.1)
        errors.append(abs(growth - exact))
    assert orders(errors, 4.0)[0] == pytest.approx(2.0, abs=0.35)


@pytest.mark.parametrize(("flux", "slabs"), [("upwind", 1), ("average", 1), ("average", 2)])
@pytest.mark.parametrize(("dim", "cells"), [(1, 160), (2, 32)])
def test_linear_potential_moves_mass_by_its_slope(dim, cells, flux, slabs):
    # Energies without curvature: the slope alone determines the step.
    slope, tau = np.array([1.0, 0.5])[:dim], 0.1
    flow = brick(dim, 2.0, cells, Potential(lambda x: sum(float(slope[k]) * x[k] for k in range(dim))))
    old = flow.state(bump(np.zeros(dim), 1.0), 1.0)
    step = Jko(flow, flux, slabs=slabs).step(old, tau)
    exact = linear_potential_step(np.zeros(dim), slope, tau)
    for k in range(dim):
        moved = total(flow, flow.geometry.volumes * flow.points[:, k] * step.state[:, 0])
        assert moved == pytest.approx(exact.state[k], rel=0.02)
    assert 2.0 * tau * step.movement.actions["rho"] == pytest.approx(exact.square, rel=0.02)


def indicator(x):
    return 1.0 * ((x**2).sum(axis=0) < 0.3)


@pytest.mark.parallel
@pytest.mark.parametrize(("flux", "slabs"), [("upwind", 1), ("average", 1), ("average", 2)])
@pytest.mark.parametrize("m", [1.5, 2.0, 4.0])
def test_guarantees_from_indicators(m, flux, slabs):
    flow = brick(2, 1.0, 12, PowerLaw(m) + quadratic_potential(2.0))
    state = flow.state(indicator, 1.0)
    scheme = Jko(flow, flux, slabs=slabs)
    for tau in (1e-4, 1e-2):
        old, step = state, scheme.step(state, tau)
        state = step.state
        assert flow.masses(state)["rho"] == pytest.approx(1.0, rel=1e-13)
        least = flow.minima(state)["rho"]
        assert least == 0.0
        assert step.movement.excess <= 0.0
        energies = flow.energy(state) + sum(step.movement.actions.values()) - flow.energy(old)
        assert step.movement.excess == pytest.approx(energies, abs=1e-12)
        assert step.movement.terminal < 1e-6
        assert step.movement.hamilton_jacobi < 1e-6


@pytest.mark.parallel
def test_compound_metrics_lower_the_energy_by_both_distances():
    species = (Species("rho"), Species("c", "l2"))
    coupled = Density(lambda f, x: 0.5 * f["c"] ** 2 - 0.3 * f["rho"] * f["c"], of=("rho", "c"))
    energy = PowerLaw(2, of="rho") + coupled + Dirichlet(of="c", name="gradient")
    flow = GradientFlow(mesh_of("disk", h=0.25), species, energy).with_lumping("cells")
    old = flow.state({"rho": bump((0.2, 0.0), 0.2), "c": lambda x: x[0]}, {"rho": 1.0})
    step = Jko(flow).step(old, 0.05)
    change = total(flow, flow.geometry.volumes * (step.state[:, 1] - old[:, 1]) ** 2)
    assert step.movement.actions["c"] == pytest.approx(change / 0.1, rel=1e-12)
    assert step.movement.excess < 0.0
    # The L² field satisfies (c - c_old)/τ + δE/δc = 0.
    rest = (step.state - old) / 0.05 + flow.potentials(step.state)
    assert np.abs(rest[: flow.owned, 1]).max(initial=0.0) < 1e-7


@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("m", [2.0, 4.0])
def test_few_iterations_at_moderate_steps(m, flux, monkeypatch):
    # Fronts move by a part of a cell: Newton's method alone, with three iterations in a step.
    flow = brick(2, 1.0, 32, PowerLaw(m))
    state = flow.state(bump((0.0, 0.0), 0.2), 1.0)
    scheme = Jko(flow, flux, NewtonSettings(linear="direct"))
    monkeypatch.setattr(scheme._solver, "interior_point", None)
    counts = []
    for _ in range(12):
        step = scheme.step(state, 5e-5)
        state = step.state
        counts.append(step.newton)
    assert np.mean(counts[1:]) <= 3.3


@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("tau", [1e-3, 1.0])
def test_stationary_densities_stay(flux, tau):
    # ρ = (c - V/2)₊ has one potential on its support, and no more beyond.
    flow = brick(2, 1.0, 12, PowerLaw(2) + quadratic_potential(4.0))
    old = flow.state(lambda x: np.maximum(0.5 - (x**2).sum(axis=0), 0.0))
    step = Jko(flow, flux).step(old, tau)
    np.testing.assert_allclose(step.state, old, atol=1e-12)
    assert step.movement.distances["rho"] < 1e-9


@pytest.mark.parallel
@pytest.mark.parametrize(("flux", "slabs"), [("upwind", 1), ("average", 1), ("average", 3)])
def test_steps_on_several_ranks_are_those_on_one(flux, slabs):
    energies = []
    for alone in (True, False):
        flow = GradientFlow(mesh_of("disk", alone, h=0.15), Species(), PowerLaw(2)).with_lumping("cells")
        state = flow.state(bump((0.2, 0.1), 0.2), 1.0)
        scheme = Jko(flow, flux, slabs=slabs)
        found = []
        for _ in range(2):
            step = scheme.step(state, 2e-3)
            state = step.state
            found += [flow.energy(state), step.movement.actions["rho"], flow.second_moments(state)["rho"]]
        energies.append(found)
    assert energies[1] == pytest.approx(energies[0], rel=1e-9)


@pytest.mark.parallel
def test_steps_that_fail_are_taken_in_halves(monkeypatch):
    flow = brick(2, 1.0, 10, PowerLaw(2))
    old = flow.state(bump((0.0, 0.0), 0.4), 1.0)
    scheme, plain = Jko(flow), Jko(flow)
    attempts = scheme._attempts

    def fails_above(old, tau):
        if tau > 0.6e-2:
            return [PathOutcome(np.zeros(0), False, 7, 9, "no luck")]
        return attempts(old, tau)

    monkeypatch.setattr(scheme, "_attempts", fails_above)
    step = scheme.step(old, 1e-2)
    first = plain.step(old, 0.5e-2)
    second = plain.step(first.state, 0.5e-2)
    assert step.rejected == 1
    np.testing.assert_allclose(step.state, second.state, atol=1e-9)
    for name in ("actions", "distances"):
        parts = getattr(first.movement, name)["rho"] + getattr(second.movement, name)["rho"]
        assert getattr(step.movement, name)["rho"] == pytest.approx(parts, rel=1e-7)
    assert step.newton == 7 + first.newton + second.newton
    monkeypatch.setattr(scheme, "_attempts", lambda old, tau: [PathOutcome(old, False, 7, 9, "no luck")])
    with pytest.raises(SolveError, match="no luck"):
        scheme.step(old, 1e-2)


@pytest.mark.parametrize(
    ("energy", "tau"),
    [
        (PowerLaw(2) + Potential(lambda x: -20.0 * ufl.exp(-40.0 * ((x[0] - 0.7) ** 2 + x[1] ** 2))), 1e-2),
        (PowerLaw(4), 100.0),
        (Boltzmann() + quadratic_potential(100.0), 1.0),
    ],
    ids=["deep well far off", "long step", "steep potential"],
)
def test_hard_steps(energy, tau):
    flow = brick(2, 1.0, 12, energy)
    old = flow.state(lambda x: indicator(2.0 * (x + 0.3)), 1.0)
    step = Jko(flow).step(old, tau)
    assert step.rejected == 0
    assert step.movement.excess <= 0.0
    assert flow.masses(step.state)["rho"] == pytest.approx(1.0, rel=1e-13)


def test_log_densities_from_vacuum_are_those_of_a_lifted_start():
    flow = brick(1, 2.0, 60, Boltzmann())
    old = flow.state(indicator, 1.0)
    lifted = flow.state(lambda x: indicator(x) + 1e-12, 1.0)
    first, second = (Jko(flow, slabs=2).step(state, 0.1).state for state in (old, lifted))
    np.testing.assert_allclose(first, second, atol=1e-8)
    assert first[: flow.owned].min() > 0.0


def test_bad_input_is_refused():
    flow = brick(1, 1.0, 8, PowerLaw(2))
    for slabs in (0, -1, 1.5):
        with pytest.raises(InputError, match="slabs must be a whole number of at least 1"):
            Jko(flow, slabs=slabs)
    with pytest.raises(InputError, match="goes with one slab"):
        Jko(flow, "upwind", slabs=2)
    with pytest.raises(InputError, match="must be upwind or average, not 'harmonic'"):
        Jko(flow, "harmonic")
    still = GradientFlow(flow.mesh, Species("c", "l2"), Dirichlet(of="c"))
    with pytest.raises(InputError, match="need a density"):
        Jko(still)
    state = flow.state(lambda x: 1.0 + waves(x.T, 2)[:, 0])
    for tau in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="time step must be a positive finite number"):
            Jko(flow).step(state, tau)


@pytest.mark.parametrize("slabs", [1, 2])
def test_masses_of_different_sizes_do_not_disturb_each_other(slabs):
    mesh = mesh_of("rectangle", cells=(10, 10))
    light, heavy = 1e-6, 1e6
    energy = PowerLaw(2, of="u", coefficient=1.0 / light, name="a")
    energy += PowerLaw(2, of="v", coefficient=1.0 / heavy, name="b")
    both = GradientFlow(mesh, (Species("u"), Species("v")), energy).with_lumping("cells")
    alone = GradientFlow(mesh, Species("u"), PowerLaw(2, coefficient=1.0 / light, of="u")).with_lumping(
        "cells"
    )
    clouds = {"u": bump([0.4, 0.5]), "v": bump([0.6, 0.5])}
    step = Jko(both, slabs=slabs).step(both.state(clouds, {"u": light, "v": heavy}), 1e-2)
    other = Jko(alone, slabs=slabs).step(alone.state(clouds["u"], light), 1e-2)
    assert step.state[:, 0] == pytest.approx(other.state[:, 0], rel=1e-6, abs=1e-6 * light)
    assert step.movement.distances["u"] == pytest.approx(other.movement.distances["u"], rel=1e-6)


def test_densities_without_mass_are_refused():
    flow = GradientFlow(mesh_of("interval", cells=4), Species(), PowerLaw(2))
    with pytest.raises(InputError, match="rho has the mass 0"):
        Jko(flow).step(np.zeros((flow.nodes, 1)), 0.1)

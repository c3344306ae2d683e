"""When a density lives on the mesh: counts by hand, and Keller and Segel's model below and above 8π."""

import numpy as np
import pytest
import ufl
from references import DIRECT, mesh_of

from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.studies.concentration import Concentration, critical_mass


def plane(h=0.4, **keys):
    keys = {"m": 1.0, "epsilon": 1.0, "kappa": 0.1} | keys
    return chemotaxis(mesh_of("disk", radius=3.0, h=h), 0.0, **keys)


@pytest.mark.parallel
def test_critical_mass():
    assert critical_mass(plane()) == pytest.approx(8 * np.pi)
    assert critical_mass(plane(epsilon=0.5)) == pytest.approx(32 * np.pi)
    assert critical_mass(plane(phi=lambda c: -2 * c)) == pytest.approx(2 * np.pi)
    assert critical_mass(plane(m=2.0)) is None
    assert critical_mass(plane(phi=lambda c: c)) is None
    assert critical_mass(plane(phi=lambda c: -ufl.tanh(c))) is None
    assert critical_mass(chemotaxis(mesh_of("interval", cells=(8,)), m=1.0)) is None


@pytest.mark.parametrize("width", [0.01, pytest.param(0.3, marks=pytest.mark.parallel), 2.0, np.inf])
def test_fewest_vertices_with_half_of_the_mass(width):
    flow = plane()
    state = flow.state({"rho": lambda x: np.exp(-(x**2).sum(axis=0) / width), "c": 0.0}, {"rho": 5.0})
    found = Concentration(flow).look({"time": 0.0}, state, None)
    local = flow.geometry.volumes[: flow.owned] * state[: flow.owned, 0]
    masses = np.sort(np.concatenate(flow.comm.allgather(local)))[::-1]
    expected = int(np.searchsorted(np.cumsum(masses), 2.5 - 1e-9)) + 1
    assert found["vertices_half_rho"] == expected
    assert found["largest_share_rho"] == pytest.approx(masses[0] / 5.0, rel=1e-12)
    assert found["second_moment_rho"] == pytest.approx(flow.second_moments(state)["rho"])


@pytest.mark.parallel
def test_equal_masses_are_counted_exactly():
    mesh = mesh_of("rectangle", cells=(8, 8))
    flow = chemotaxis(mesh, m=1.0)
    # Density over nodal volume: 81 vertices with the same mass; 41 hold a half.
    state = np.column_stack([1.0 / flow.geometry.volumes, np.zeros(flow.nodes)])
    assert Concentration(flow).look({"time": 0.0}, state, None)["vertices_half_rho"] == 41


def test_the_warning_is_about_the_last_state():
    flow = plane()
    wide = flow.state({"rho": 1.0, "c": 0.0}, {"rho": 30.0})
    narrow = flow.state({"rho": lambda x: np.exp(-(x**2).sum(axis=0) / 0.02), "c": 0.0}, {"rho": 30.0})
    study = Concentration(flow)
    for time, state in enumerate((narrow, wide)):
        study.look({"time": float(time)}, state, None)
    assert study.warnings() == []
    for time in (2.0, 3.0):
        study.look({"time": time}, narrow, None)
    (text,) = study.warnings()
    assert text.startswith("The density rho concentrates: in the end, half of its mass 30 is in")
    assert "From t = 2 on" in text and "8π/ε² = 25.13" in text and "here it is above" in text


def peak(h, mass_over_pi):
    """The largest density at t = 0.9 and the study, from data whose signal is near -Δc = ρ."""
    flow = plane(h)
    state = flow.state(
        {
            "rho": lambda x: (0.3 + (x**2).sum(axis=0)) ** -2.0,
            "c": lambda x: mass_over_pi / 4 * np.log(9.3 / (0.3 + (x**2).sum(axis=0))),
        },
        {"rho": mass_over_pi * np.pi},
    )
    study, scheme = Concentration(flow), BackwardEuler(flow, "upwind", DIRECT)
    for _ in range(18):
        state = scheme.step(state, 0.05).state
    study.look({"time": 0.9}, state, None)
    return flow.maxima(state)["rho"], study.warnings()


def test_mass_below_8_pi_spreads_and_mass_above_concentrates():
    (coarse, *_), (middle, *_), (fine, *below) = (peak(h, 6.0) for h in (0.4, 0.2, 0.1))
    assert abs(fine - middle) < 0.5 * abs(middle - coarse)
    assert fine < 8.0 and below == [[]]
    (coarse, *_), (fine, *above) = (peak(h, 10.0) for h in (0.4, 0.2))
    # One vertex takes it all: the peak grows like 1/h².
    assert fine / coarse == pytest.approx(4.0, rel=0.25)
    assert len(above[0]) == 1

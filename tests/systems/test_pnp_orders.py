"""Orders of Poisson–Nernst–Planck in h and τ against independent solutions, and the Debye length."""

import math

import numpy as np
import pytest
from pnp_problems import marked_mesh
from references import march, orders
from scipy.integrate import solve_ivp
from scipy.optimize import fsolve

from fem_models.exact.spectral import LegendreElement, SpectralFields
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.systems.poisson_nernst_planck import Ion, poisson_nernst_planck

# Orders against a spectral method.


def spectral_backward_euler(m, permittivity, ends, tau, steps):
    """Two ions with z = 1, -1 on [0, 1] after steps of backward Euler, at each point as an array (n, 2)."""
    line = LegendreElement(24)

    def rate(flat):
        u = flat.reshape(2, -1)
        drift = line.D @ line.potential(u[0] - u[1], permittivity, ends)
        fluxes = [line.D @ rho**m + z * rho * drift for rho, z in zip(u, (1.0, -1.0), strict=True)]
        return np.concatenate([line.divergence(flux) for flux in fluxes])

    state = np.concatenate([wave_u(line.x), wave_v(line.x)])
    for _ in range(steps):
        state = fsolve(lambda new, old=state: new - old - tau * rate(new), state, xtol=1e-12)
    return SpectralFields(line, state.reshape(2, -1))


def wave_u(x):
    return 1.0 + 0.5 * np.cos(np.pi * x)


def wave_v(x):
    return 1.5 + 0.5 * np.cos(2.0 * np.pi * x)


ENDS = (1.0, -0.5)


def slit(cells, m, permittivity=0.2, ends=ENDS):
    """Ions between two electrodes on [0, 1]."""
    marked = marked_mesh("interval", cells=cells)
    given = {"left": ends[0], "right": ends[1]}
    flow = poisson_nernst_planck(marked, m=m, permittivity=permittivity, electrodes=given)
    state = flow.state({"u": lambda x: wave_u(x[0]), "v": lambda x: wave_v(x[0])})
    return flow, state


@pytest.mark.parametrize("m", [1.0, 2.0])
def test_second_order_in_h(m):
    tau, steps = 0.02, 5
    exact = spectral_backward_euler(m, 0.2, ENDS, tau, steps)
    errors = []
    for cells in (8, 16, 32):
        flow, state = slit(cells, m)
        state = march(flow, state, tau * steps, steps, flux="average")
        difference = np.abs(state[:, :2] - exact(flow.points[:, 0]))
        errors.append(flow.geometry.volumes @ difference.sum(axis=1))
    assert np.all(orders(errors) > 1.9)
    assert errors[-1] < 1e-3


def semi_discrete(flow, m, permittivity, ends):
    """The end state of the edge-averaged scheme for m = 1 or 2 on a uniform grid, written anew."""
    x = flow.points[:, 0]
    order = np.argsort(x)
    h = 1.0 / (len(x) - 1)
    volumes = np.full(len(x), h)
    volumes[[0, -1]] /= 2
    laplacian = (
        (np.diag(np.full(len(x), 2.0)) - np.eye(len(x), k=1) - np.eye(len(x), k=-1)) * permittivity / h
    )

    def potential(u, v):
        psi = np.zeros(len(x))
        psi[[0, -1]] = ends
        right = volumes * (u - v) - laplacian @ psi
        psi[1:-1] = np.linalg.solve(laplacian[1:-1, 1:-1], right[1:-1])
        return psi

    def bernoulli(z):
        return np.where(z == 0.0, 1.0, z / np.expm1(np.where(z == 0.0, 1.0, z)))

    def flux(rho, psi):
        a, b = rho[:-1], rho[1:]
        if m == 1.0:
            d = psi[:-1] - psi[1:]
            return (bernoulli(-d) * a - bernoulli(d) * b) / h
        mu = 2.0 * rho + psi
        d = mu[:-1] - mu[1:]
        downhill = (a - b) * d >= 0.0
        return np.where(downhill, 0.5 * (a + b), 2.0 * a * b / (a + b)) * d / h

    def rate(t, y):
        u, v = y.reshape(2, -1)
        psi = potential(u, v)
        flows = [flux(u, psi), flux(v, -psi)]
        return np.concatenate([(np.append(0.0, f) - np.append(f, 0.0)) / volumes for f in flows])

    return order, rate


@pytest.mark.parametrize("m", [1.0, 2.0])
def test_orders_in_tau(m):
    end, cells = 0.1, 12
    flow, state = slit(cells, m)
    order, rate = semi_discrete(flow, m, 0.2, ENDS)
    start = state[order, :2].T.ravel()
    exact = (
        solve_ivp(rate, (0.0, end), start, method="Radau", rtol=1e-10, atol=1e-12).y[:, -1].reshape(2, -1).T
    )
    for scheme, expected in ((BackwardEuler, 1.0), (Bdf2, 2.0)):
        errors = []
        for steps in (8, 16, 32, 64):
            found = march(flow, state, end, steps, scheme, "average")[order, :2]
            errors.append(np.abs(found - exact).max())
        assert orders(errors)[-1] == pytest.approx(expected, abs=0.15)
        assert errors[-1] < (2e-2 if expected == 1.0 else 1e-3)


@pytest.mark.parametrize(
    ("ions", "densities"), [((1.0, -1.0), (1.0, 1.0)), ((2.0, -1.0, -1.0), (1.0, 1.5, 0.5))]
)
def test_potential_decays_over_the_debye_length(ions, densities):
    # ψ = V sinh((1 - 2x)/(2λ))/sinh(1/(2λ)) for small V, with -V at the other electrode.
    a = 0.01
    length = math.sqrt(a / sum(z**2 * rho for z, rho in zip(ions, densities, strict=True)))
    names = [f"ion{k}" for k in range(len(ions))]
    marked = marked_mesh("interval", cells=400)
    flow = poisson_nernst_planck(
        marked,
        [Ion(name, z) for name, z in zip(names, ions, strict=True)],
        permittivity=a,
        electrodes={"left": 1e-3, "right": -1e-3},
    )
    state = flow.state(dict(zip(names, densities, strict=True)))
    state = march(flow, flow.settled(state), 50.0, 5)
    x, psi = flow.points[:, 0], state[:, -1]
    window = (x > 0.5 * length) & (x < 2.5 * length)
    slope = np.polyfit(x[window], np.log(psi[window]), 1)[0]
    assert -1.0 / slope == pytest.approx(length, rel=2e-2)

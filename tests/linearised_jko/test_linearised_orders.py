"""Orders of the linearised JKO problem in space and time, by a manufactured solution."""

import numpy as np
import pytest
import ufl
from linearised_problems import STABLE, f, g, h, l2, manufactured_errors, phi, q, rate, solved
from references import mesh_of, orders

from fem_models.linearised_jko.loads import Sources
from fem_models.linearised_jko.problem import LinearisedJko

from dolfinx import fem  # isort: skip

each_pair = pytest.mark.parametrize("pair", STABLE)

ORDERS = {"P1-DG0": (2, 1), "P2-DG1": (3, 2), "DG0-RT1": (1, 1), "DG1-RT2": (2, 0.8)}
SEQUENCES = {
    "interval": [{"cells": n} for n in (8, 16, 32)],
    "rectangle": [{"h": h} for h in (0.2, 0.1)],
}


@each_pair
@pytest.mark.parametrize("domain", SEQUENCES)
def test_orders_in_h(domain, pair):
    # Steps are refined with the cells, so that the error in time goes with the order in space or faster.
    potentials, fluxes = ORDERS[pair]
    errors = []
    for level, keys in enumerate(SEQUENCES[domain]):
        slabs = round(4 * 2 ** (level * potentials / 2.0)) if potentials > 2 else 4 * 2**level
        errors.append(manufactured_errors(mesh_of(domain, **keys), pair, 0.4, slabs))
    found = orders(errors)[-1]
    np.testing.assert_allclose(found[[0, 2, 3]], potentials, atol=0.35)
    assert found[1] > fluxes - 0.3


@pytest.mark.parametrize(("pair", "cells"), [("P1-DG0", (3, 6)), ("DG0-RT1", (2, 4))])
def test_orders_in_h_in_three_dimensions(pair, cells):
    errors = [manufactured_errors(mesh_of("box", cells=(n,) * 3), pair, 0.2, n) for n in cells]
    assert np.all(orders(errors)[0, [0, 2, 3]] > ORDERS[pair][0] - 0.4)


def test_orders_in_time():
    mesh = mesh_of("interval", cells=64)
    many = [manufactured_errors(mesh, "P2-DG1", 0.4, slabs) for slabs in (2, 4, 8)]
    np.testing.assert_allclose(orders(many)[:, [0, 2, 3]], 2.0, atol=0.25)
    # One slab: f in its middle is of first order, and h at the end of one step of second.
    single = [manufactured_errors(mesh, "P2-DG1", duration, 1) for duration in (0.1, 0.05, 0.025)]
    found = orders(single)[-1]
    assert found[0] == pytest.approx(1.0, abs=0.25)
    assert found[2] == pytest.approx(2.0, abs=0.35)


def pushed(x, s):
    """A potential with ∂φ/∂n = ±.3 at the ends of the interval."""
    return 0.3 * x[0] + phi(x, s)


@pytest.mark.parametrize("pair", ["P1-DG0", "P2-DG1"])
def test_no_flux_through_the_boundary_is_natural(pair):
    def total(x, s):
        return g(x, s)

    def flux(x, s):
        return total(x, s) - h(x, s) * ufl.grad(pushed(x, s))

    sources = Sources(
        constraint=lambda x, s: rate(h, x, s) + ufl.div(total(x, s)),
        flux=lambda x, s: flux(x, s) - q(x, s) * ufl.grad(f(x, s)),
        adjoint=lambda x, s: -rate(f, x, s) - ufl.dot(ufl.grad(pushed(x, s)), ufl.grad(f(x, s))),
        end=lambda x, s: f(x, s) + h(x, s) / q(x, s),
    )
    errors = []
    for cells in (8, 16):
        mesh = mesh_of("interval", cells=cells)
        problem = LinearisedJko(mesh, pair, q, pushed, 0.1, cells // 2)
        found, _ = solved(problem, sources=sources)
        x, s = ufl.SpatialCoordinate(mesh), fem.Constant(mesh, 0.1)
        errors.append([l2(mesh, found.h[-1] - h(x, s)), l2(mesh, found.p - f(x, s))])
    assert np.all(orders(errors) > 1.75)

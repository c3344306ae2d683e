"""Orders of convergence for ∂tρ = div(∇ρ + ρ∇V), V = -x, on the unit interval and the unit square."""

import numpy as np
import pytest
from references import flow_of, l1_distance, march, orders

from fem_models.energies import Boltzmann, Potential
from fem_models.exact.fokker_planck import drift_diffusion
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

END = 0.25
DOMAINS = {"interval": {"cells": 10}, "square": {"h": 0.1}}


def problem(domain, refinement=1):
    keys = {
        key: value * refinement if key == "cells" else value / refinement
        for key, value in DOMAINS[domain].items()
    }
    energy = Boltzmann() + Potential(lambda x: -x[0])
    flow = flow_of("interval" if domain == "interval" else "rectangle", energy, **keys)
    return flow, flow.state(lambda x: drift_diffusion(x, 0.0))


def error(domain, refinement, steps, scheme):
    flow, state = problem(domain, refinement)
    state = march(flow, state, END, steps, scheme)
    return l1_distance(flow, state, drift_diffusion(flow.points.T, END))


@pytest.mark.parametrize("domain", DOMAINS)
def test_bdf2_is_of_second_order_in_h_and_tau_together(domain):
    errors = [error(domain, k, 8 * k, Bdf2) for k in (1, 2, 4)]
    assert np.all(np.abs(orders(errors) - 2.0) < 0.2)
    assert errors[-1] < 5e-4


@pytest.mark.parametrize("domain", DOMAINS)
def test_backward_euler_is_of_first_order_in_tau(domain):
    errors = [error(domain, 4, steps, BackwardEuler) for steps in (8, 16, 32)]
    assert np.all(np.abs(orders(errors) - 1.0) < 0.15)


def test_bdf2_with_changing_steps_is_of_second_order():
    # Steps in the proportions 1 : 1.8 : .7 again and again, against many small equal steps.
    flow, state = problem("interval", 4)
    exact = march(flow, state, END, 1024, Bdf2)
    errors = []
    for rounds in (8, 16, 32):
        scheme, u = Bdf2(flow), state
        for factor in (1.0, 1.8, 0.7) * rounds:
            u = scheme.step(u, factor * END / (3.5 * rounds)).state
        errors.append(l1_distance(flow, u, exact[:, 0]))
    assert np.all(np.abs(orders(errors) - 2.0) < 0.2)

"""What Evans, Morris and Yoldaş prove: bounds (2.1), decay (2.2, 4.6), the diffusive limit (2.3), moments
(2.5)."""

import numpy as np
import pytest
from kinetic_problems import TIGHT, K, advanced, distance, kinetic, smooth, torus
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.kinetic.bgk.initial import state_of_function, state_of_moments
from fem_models.kinetic.bgk.model import DiffusiveLimit, KineticModel
from fem_models.kinetic.bgk.schemes import KineticBdf2, KineticEuler
from fem_models.kinetic.bgk.state import KineticState
from fem_models.meshes.domains import build

LOW, HIGH = 0.4, 2.5


def jumps(x, v):
    """Discontinuous in x and v, between 0.4 and 2.5."""
    return np.where((x[0] < 0.5) != (v[0] > 0.3), HIGH, LOW)


@pytest.mark.parallel
@pytest.mark.parametrize(("cells", "modes", "epsilon"), [((24,), 7, 0.3), ((12,), 3, 1.0), ((8, 8), 3, 0.3)])
def test_the_bounds_of_theorem_2_1_hold_at_gauss_nodes_with_the_projection(cells, modes, epsilon):
    model = kinetic(cells, 1.0, epsilon, modes, bounds=2.5)
    state = state_of_function(model, jumps)
    scheme, mass, worst = KineticEuler(model), model.mass(state), 0.0
    for _ in range(3):
        before = model.product(state, state)
        state = scheme.step(state, 0.01).state
        row = model.observables(state)
        assert row["min_f_over_M"] > LOW - 1e-13 and row["max_f_over_M"] < HIGH + 1e-13
        assert abs(row["mass"] / mass - 1.0) < 1e-14
        assert row["norm2_f"] < before and row["loss_by_projection"] >= 0.0
        worst = max(worst, row["loss_by_projection"])
    # It does something: without it the bounds are broken.
    assert worst > 1e-6
    if len(cells) == 1:
        free = kinetic(cells, 1.0, epsilon, modes)
        last, _ = advanced(KineticEuler(free), state_of_function(model, jumps), 0.01, 1)
        row = free.observables(last)
        assert row["min_f_over_M"] < LOW - 1e-3 or row["max_f_over_M"] > HIGH + 1e-3


def test_data_outside_of_the_bounds_are_refused_and_bounds_need_degree_1():
    model = kinetic((12,), 1.0, bounds=2.0)
    with pytest.raises(
        InputError, match=r"f/M from 0.4 to 2.5 at the Gauss–Hermite nodes, outside of 1/A to A"
    ):
        state_of_function(model, jumps)
    with pytest.raises(InputError, match="outside of 1/A to A for bounds = A = 2"):
        state_of_moments(model, lambda x: 1.0 + 0.1 * np.cos(K * x[0]), {0: 1.0})
    with pytest.raises(InputError, match="bounds go with degree = 1"):
        kinetic((12,), 1.0, degree=2, bounds=2.0)
    with pytest.raises(InputError, match="must be greater than 1"):
        kinetic((12,), 1.0, bounds=0.5)


# DESIGN: s = 1/ε², λ = ak/ε - s with (sε/k) √(π/2) erfcx(a/√2) = 1, for k = 1.
RATES = {0.2: -0.9651154, 0.1: -0.9903752}


@pytest.mark.parametrize("epsilon", RATES)
def test_the_rate_of_decay_is_that_of_the_linear_equation(epsilon):
    # The quotient of BDF2's amplification from that of the flow is (λτ)²/3 < 2e-4.
    mesh = build(MPI.COMM_WORLD, "torus", lengths=[2.0 * np.pi], cells=[32]).mesh
    model = KineticModel(mesh, 1.0, epsilon, 7, 2)
    state = state_of_moments(model, lambda x: 1.0 + 0.02 * np.cos(x[0]))
    scheme, norms = KineticBdf2(model), []
    for _ in range(120):
        state = scheme.step(state, 0.02).state
        norms.append(model.observables(state)["norm2_f"] - model.mass(state) ** 2 / model.space.volume)
    measured = np.log(norms[119] / norms[99]) / (2.0 * 20 * 0.02)
    assert measured == pytest.approx(RATES[epsilon], rel=1e-3)


@pytest.mark.parametrize("rate", [-2.0, 1.0])
@pytest.mark.parametrize(("odd", "slope"), [(0.0, 2), (0.2, 1)])
def test_the_scheme_keeps_the_diffusive_limit_at_fixed_steps(odd, slope, rate):
    # ρ is O(ε²) from the limit for data even in v and O(ε) with an odd part; f is O(ε).
    limit = DiffusiveLimit(torus(10, 10), rate)
    wanted, _ = advanced(KineticBdf2(limit, TIGHT), smooth(limit), 0.005, 4)
    epsilons, densities, wholes = (1e-3, 1e-4, 1e-6), [], []
    for epsilon in epsilons:
        model = kinetic((10, 10), rate, epsilon)
        found, _ = advanced(KineticBdf2(model, TIGHT), smooth(model, odd), 0.005, 4)
        change = found.even.copy()
        change[:, 0] -= wanted.even[:, 0]
        densities.append(distance(model, found, wanted))
        other = KineticState(change, found.odd)
        wholes.append(model.product(other, other) ** 0.5)
    for distances, power in ((densities, slope), (wholes, 1)):
        slopes = np.diff(np.log(distances)) / np.diff(np.log(epsilons))
        assert slopes == pytest.approx([power, power], abs=0.05)


def test_the_limit_keeps_its_identity_and_its_order():
    # ∂tρ = Δρ for α = 0: amplitudes of cos 2πx fall by exp(-4π²t).
    errors = []
    for cells in (8, 16):
        model = DiffusiveLimit(torus(cells), 0.0)
        state, taken = advanced(KineticBdf2(model, TIGHT), smooth(model), 1e-4, 100)
        assert max(step.state.residual for step in taken) < 1e-14
        x = model.space.node_points()[:, 0]
        errors.append(np.abs(state.even[:, 0] - 1.0 - 0.5 * np.exp(-(K**2) * 0.01) * np.cos(K * x)).max())
    assert errors[0] / errors[1] > 3.8


@pytest.mark.parametrize("rate", [-2.0, 0.0, 2.0])
def test_the_perturbed_norm_of_4_6_falls_in_every_step(rate):
    for degree in (1, 2):
        model = kinetic((16,), rate, 0.1, degree=degree)
        state = smooth(model, 0.3)
        model.spread = model.spread_of(state)
        assert model.spread == pytest.approx(2.0) and model.rate_level() == pytest.approx(2.0 ** abs(rate))
        scheme, norms = KineticEuler(model), [model.observables(state)["perturbed_norm"]]
        for _ in range(6):
            state = scheme.step(state, 0.02).state
            norms.append(model.observables(state)["perturbed_norm"])
        assert np.all(np.diff(norms) < 0.0)


def test_the_perturbation_of_the_norm_is_that_of_a_wave():
    # j = cos 2πx and ρ = 1 + ½ sin 2πx: ∫ j·∇(I - Δ)⁻¹ρ = ½ · 2π · ½/(1 + 4π²).
    model = kinetic((64,), 1.0, 0.1, degree=2)
    state = state_of_moments(model, lambda x: 1.0 + 0.5 * np.sin(K * x[0]), {0: lambda x: np.cos(K * x[0])})
    row = model.observables(state)
    factor = 0.1 / (3.0 * 1.0 * 2.0)
    expected = factor * 0.25 * K / (1.0 + K**2)
    assert row["perturbed_norm"] - row["norm2_f"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parallel
def test_the_moments_obey_lemma_2_5():
    # (2.3) against each basis function: (ρⁿ⁺¹ - ρⁿ)/τ w = ε⁻¹ j·∇w; (2.4) on each cell.
    model = kinetic((8, 8), 1.0, 0.3)
    space, tau = model.space, 0.01
    old = smooth(model, 0.2)
    new = KineticEuler(model, TIGHT).step(old, tau).state
    change = (space.weighted(new.even - old.even) / tau)[:, 0]
    assert np.abs(change - space.divergence(new.odd)[:, 0] / 0.3).max(initial=0.0) < 1e-11
    rates = model.averaged((model.rate(model.densities(old)[0]), model.rate(model.densities(old)[1])))[1]
    slopes = space.slopes(new.even)
    left = (new.odd - old.odd) / tau + slopes / 0.3 + rates[:, :, None] * new.odd / 0.3**2
    assert np.abs(left[:, :, :2]).max(initial=0.0) < 1e-11


def test_fields_are_the_hydrodynamic_quantities():
    model = kinetic((6, 6), 1.0, degree=2)

    def given(x, v):
        return 2.0 + 0.5 * v[0] + 0.25 * v[1] + 0.125 * v[0] * v[1] + 0.375 * (v[0] ** 2 - 1.0)

    fields = model.functions(state_of_function(model, given))
    # E_xx = ∫ f (v_x² - 1) = .375 · 2.
    expected = {"rho": 2.0, "j_x": 0.5, "j_y": 0.25, "E_xx": 0.75, "E_xy": 0.125, "E_yy": 0.0}
    assert {name: function.x.array.min() for name, function in fields.items()} == pytest.approx(
        expected, abs=1e-12
    )
    assert {name: function.x.array.max() for name, function in fields.items()} == pytest.approx(
        expected, abs=1e-12
    )

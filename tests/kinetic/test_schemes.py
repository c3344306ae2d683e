"""Steps of kinetic equations: what they keep for any rate, and their orders."""

from itertools import pairwise

import numpy as np
import pytest
from kinetic_problems import TIGHT, K, advanced, density_error, kinetic, moments, smooth

from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import KnownError, Memory
from fem_models.kinetic.bgk.initial import state_of_function, state_of_moments
from fem_models.kinetic.bgk.model import KineticModel
from fem_models.kinetic.bgk.schemes import KineticBdf2, KineticEuler
from fem_models.kinetic.bgk.state import KineticState
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes.domains import build

SCHEMES = (KineticEuler, KineticBdf2)


def wave(amplitude):
    """The density 1 + Re a exp(2πix)."""
    return lambda x: 1.0 + (amplitude * np.exp(1j * K * x[0])).real


def g_norm(model, old, new):
    """½(‖hⁿ⁺¹‖² + ‖2hⁿ⁺¹ - hⁿ‖²), which falls with BDF2."""
    beyond = KineticState(*new.combined(2.0, -1.0, old))
    return 0.5 * (model.product(new, new) + model.product(beyond, beyond))


@pytest.mark.parametrize("rate", [-2.0, 0.5, 1.0, 2.0, "1/(1 + rho**2) + exp(rho)"])
@pytest.mark.parametrize(("scheme", "degree"), [(s, k) for s in SCHEMES for k in (1, 2)])
def test_mass_and_the_identity_hold_to_rounding_for_any_rate(scheme, degree, rate):
    # The tolerance of the linear solver does not matter: both hold for what it finds.
    for cells, epsilon in (((12,), 1e-3), ((8, 8), 0.3)):
        model = kinetic(cells, rate, epsilon, degree=degree)
        state = smooth(model, 0.3)
        mass = model.mass(state)
        last, taken = advanced(scheme(model, NewtonSettings(1e-4)), state, 0.05, 4)
        assert abs(model.mass(last) / mass - 1.0) < 1e-14
        assert 0.0 < max(step.state.residual for step in taken) < 1e-14
        states = [state, *(step.state for step in taken)]
        if scheme is KineticEuler:
            norms = [model.product(one, one) for one in states]
        else:
            norms = [g_norm(model, *pair) for pair in pairwise(states)]
        assert all(after < before for before, after in pairwise(norms))


@pytest.mark.parallel
def test_mass_and_the_tested_equation_hold_for_bdf2_with_steps_of_any_size():
    model = kinetic((8, 8), 1.0, 0.2)
    scheme, state = KineticBdf2(model), smooth(model, 0.3)
    mass = model.mass(state)
    for tau in (0.01, 0.02, 0.013, 0.03):
        state = scheme.step(state, tau).state
        # On several ranks the terms may cancel to the last bit.
        assert 0.0 <= state.residual < 1e-14
    assert abs(model.mass(state) / mass - 1.0) < 1e-14


@pytest.mark.parametrize("epsilon", [0.5, 0.05])
@pytest.mark.parametrize(("degree", "order", "largest"), [(1, 2, 2e-3), (2, 3, 2e-4)])
def test_order_in_h_against_the_moments_of_a_wave(degree, order, largest, epsilon):
    time, steps, errors = 0.02, 200, []
    exact = moments([0.5, 0.05, 0, 0], epsilon, time)[0]
    for cells in (8, 16):
        model = kinetic((cells,), epsilon=epsilon, degree=degree)
        state, _ = advanced(KineticBdf2(model, TIGHT), smooth(model, 0.1), time / steps, steps)
        errors.append(density_error(model, state, wave(exact)))
    assert np.log2(errors[0] / errors[1]) > order - 0.1
    assert errors[1] < largest


@pytest.mark.parametrize("epsilon", [0.5, 0.05, 1e-4])
@pytest.mark.parametrize(("scheme", "order"), [(KineticEuler, 0.9), (KineticBdf2, 1.9)])
def test_order_in_time_for_any_epsilon_with_data_even_and_not(scheme, order, epsilon):
    for odd in (0.0, 0.2):
        exact, errors = moments([0.5, 0.5 * odd, 0, 0], epsilon, 0.1)[0], []
        for steps in (20, 40):
            model = kinetic((64,), epsilon=epsilon, degree=2)
            state, _ = advanced(scheme(model), smooth(model, odd), 0.1 / steps, steps)
            errors.append(density_error(model, state, wave(exact)))
        assert np.log2(errors[0] / errors[1]) > order


def test_waves_in_two_and_three_dimensions_against_moments():
    # A wave along x is one in one dimension.
    time, epsilon = 0.02, 0.3
    exact = moments([0.5, 0, 0, 0], epsilon, time)[0]
    for cells, least in (((16, 4), 2e-4), ((12, 3, 3), 5e-4)):
        model = kinetic(cells, epsilon=epsilon, degree=2)
        start = state_of_moments(model, lambda x: 1.0 + 0.5 * np.cos(K * x[0]))
        state, _ = advanced(KineticBdf2(model), start, time / 20, 20)
        assert density_error(model, state, wave(exact)) < least


def test_the_kinetic_fokker_planck_equation_has_its_exact_density():
    # ρ_k = exp(-k²(t - ε²(1 - exp(-t/ε²)))) for ρ_k(0) = 1 and f = ρM at the beginning.
    epsilon, time, errors = 0.1, 0.05, []
    model = kinetic((64,), epsilon=epsilon, modes=7, degree=2, collisions="fokker-planck")
    exact = 0.5 * np.exp(-(K**2) * (time - epsilon**2 * (1.0 - np.exp(-time / epsilon**2))))
    for steps in (50, 100):
        state, _ = advanced(KineticBdf2(model), smooth(model), time / steps, steps)
        errors.append(density_error(model, state, lambda x: 1.0 + exact * np.cos(K * x[0])))
    assert errors[1] < 1e-5 and errors[0] / errors[1] > 3.8


def test_initial_data_of_x_and_v_are_projected_to_modes():
    model = kinetic((16,), modes=5, degree=2)
    state = state_of_function(model, lambda x, v: 2.0 + np.cos(K * x[0]) * (v[0] + 0.5 * (v[0] ** 2 - 1.0)))
    x, inside = model.space.node_points()[:, 0], model.space.odd_points()[:, 0]
    assert state.even[:, 0] == pytest.approx(np.full(len(x), 2.0), abs=1e-13)
    assert state.even[:, 1] == pytest.approx(np.cos(K * x) / np.sqrt(2.0), abs=1e-13)
    assert state.odd[:, :, 0].ravel() == pytest.approx(np.cos(K * inside), abs=1e-13)
    assert np.abs(state.odd[:, :, 1:]).max() < 1e-13


def test_iterations_stay_bounded_from_epsilon_1_to_1e_6():
    for modes, degree, most in ((3, 1, 20), (3, 2, 40), (7, 1, 40)):
        for epsilon in (1.0, 0.1, 1e-2, 1e-6):
            model = kinetic((24, 24), 1.0, epsilon, modes, degree)
            scheme = KineticEuler(model, NewtonSettings(1e-8, linear="krylov"))
            assert 0 < scheme.step(smooth(model), 0.01).linear <= most


# Of one rank.
ROW = {
    "norm2_f": (1.02906424299289, 1.028962697324053),
    "norm2_deviation": (0.0212406892207234, 0.02115127869606427),
    "perturbed_norm": (1.0290298764071535, 1.0289295007702994),
    "max_f_over_M": (1.960211346273272, 1.8755087298867972),
}


@pytest.mark.parallel
def test_numbers_do_not_depend_on_the_ranks():
    # The solver leaves 1e-12 of the deviation.
    for degree in (1, 2):
        model = kinetic((12, 12), 1.0, 0.2, degree=degree)
        state, _ = advanced(KineticBdf2(model, NewtonSettings(1e-12)), smooth(model, 0.2), 0.01, 4)
        row = model.observables(state)
        assert [row[name] for name in ROW] == pytest.approx(
            [pair[degree - 1] for pair in ROW.values()], rel=1e-9
        )


@pytest.mark.parallel
def test_a_state_is_packed_and_unpacked():
    for degree in (1, 2):
        model = kinetic((6,), 1.0, 0.2, degree=degree)
        state, _ = advanced(KineticEuler(model), smooth(model, 0.2), 0.01, 1)
        other = model.unpack(model.pack(state))
        assert np.array_equal(other.even, state.even) and np.array_equal(other.odd, state.odd)
        assert model.change(state, other) == 0.0


def test_bdf2_goes_on_from_its_memory_and_starts_with_euler():
    model = kinetic((12,), 1.0, 0.2)
    scheme, other = KineticBdf2(model, TIGHT), KineticBdf2(model, TIGHT)
    assert isinstance(scheme, KnownError) and scheme.error_constant([1.0, 1.0]) == pytest.approx(2.0 / 9.0)
    state = scheme.step(smooth(model), 0.01).state
    other.restore(scheme.memory())
    assert model.change(scheme.step(state, 0.01).state, other.step(state, 0.01).state) < 1e-12
    other.restore(Memory())
    euler = KineticEuler(model, TIGHT)
    assert model.change(other.step(state, 0.01).state, euler.step(state, 0.01).state) < 1e-12


def test_what_is_wrong_is_told_in_a_sentence():
    model = kinetic((12,), 1.0)
    with pytest.raises(InputError, match="needs a torus, and this mesh has a boundary"):
        KineticModel(build(model.comm, "interval", cells=[4]).mesh)
    with pytest.raises(InputError, match="epsilon must be"):
        kinetic((12,), epsilon=0.0)
    with pytest.raises(InputError, match="must be odd and positive"):
        kinetic((12,), modes=2)
    with pytest.raises(
        InputError, match=r"the density is -0.5 somewhere, and the collision rate ρ\^1 needs a pos"
    ):
        state_of_moments(model, lambda x: 0.5 + np.cos(K * x[0]))
    with pytest.raises(InputError, match=r"the collision rate 2 - rho is -1 for rho = 3"):
        state_of_moments(kinetic((12,), "2 - rho"), 3.0)
    with pytest.raises(InputError, match="rho is not finite everywhere"):
        state_of_moments(model, "1/x")
    good = smooth(model)
    packed = model.pack(good)
    bad = model.unpack({"even": -packed["even"], "odd": packed["odd"]})
    with pytest.raises(SolveError, match=r"The density is -1.5 somewhere"):
        KineticEuler(model).step(bad, 0.1)
    with pytest.raises(InputError, match="time step must be positive"):
        KineticEuler(model).step(good, 0.0)

"""The fitted decay rate against decays whose rate is known."""

import subprocess
import sys

import numpy as np
import pytest

from fem_models.steady.decay import fit_decay

SLOW = 2.0 * np.pi**2  # the rate of the heat equation on an interval of length one


@pytest.mark.parametrize("ratio", [1.8, 4.0])
@pytest.mark.parametrize("amplitude", [0.03, 1.0])
@pytest.mark.parametrize("steps", [80, 400, 20000])
@pytest.mark.parametrize("end", [1.0, 3.0])
def test_the_slower_of_two_rates_above_a_noise_floor(ratio, amplitude, steps, end):
    time = np.linspace(0.0, end, steps + 1)
    value = amplitude * np.exp(-SLOW * time) + np.exp(-ratio * SLOW * time)
    value += 1e-13 * np.random.default_rng(7).uniform(-1, 1, time.shape)
    decay = fit_decay(time, value)
    assert decay.rate == pytest.approx(SLOW, rel=5e-3)
    inside = (time >= decay.used[0]) & (time <= decay.used[1])
    np.testing.assert_allclose(decay(time[inside]), value[inside], rtol=2e-2)


def test_one_exponential_is_found_exactly_and_used_whole():
    time = 7.0 + np.linspace(0.0, 4.0, 41)
    decay = fit_decay(time, 3.0 * np.exp(-2.0 * (time - 7.0)))
    assert decay.rate == pytest.approx(2.0, rel=1e-12)
    assert decay.amplitude == pytest.approx(3.0 * np.exp(-2.0 * (decay.used[0] - 7.0)), rel=1e-10)
    assert decay.used[1] == 11.0


def test_uneven_steps():
    time = np.sort(np.random.default_rng(3).uniform(0.0, 2.0, 300))
    assert fit_decay(time, np.exp(-8 * time)).rate == pytest.approx(8.0, rel=1e-10)


@pytest.mark.parametrize("error", [1e-6, -1e-6])
def test_an_error_of_the_steady_energy_bends_the_end_only(error):
    time = np.linspace(0.0, 2.0, 501)
    decay = fit_decay(time, np.exp(-12 * time) + np.exp(-50 * time) + error)
    assert decay.rate == pytest.approx(12.0, rel=5e-3)
    assert decay.used[1] < np.log(1e6) / 12


def test_a_slow_mode_behind_a_long_fast_decay():
    time = np.linspace(0.0, 1.0, 201)
    assert fit_decay(time, np.exp(-60 * time) + 1e-4 * np.exp(-12 * time)).rate == pytest.approx(12, rel=5e-3)


def test_a_slow_mode_that_only_a_looser_tolerance_sees():
    # No window of the last decades is straight to 1e-3; the early one, of rate 3, is.
    time = np.linspace(0.0, 10.0, 301)
    assert fit_decay(time, np.exp(-3 * time) + 0.01 * np.exp(-2 * time)).rate == pytest.approx(2.0, rel=0.04)


@pytest.mark.parametrize(
    "value",
    [
        lambda t: 1 / (1 + 100 * t),
        lambda t: 1 / (1 + 100 * t) ** 4,
        lambda t: np.exp(-10 * t**2),
        lambda t: np.exp(-t),  # falls by less than ten
        lambda t: 0 * t,
        lambda t: 0 * t + 1,
        lambda t: t,
        lambda t: -np.exp(-20 * t),
        lambda t: t * np.nan,
        lambda t: 1e-13 * np.cos(40 * t),
    ],
    ids=["1/t", "1/t^4", "gaussian", "short", "zero", "constant", "rising", "negative", "nan", "noise"],
)
def test_what_does_not_decay_exponentially_has_no_rate(value):
    assert fit_decay(np.linspace(0.0, 1.0, 101), value(np.linspace(0.0, 1.0, 101))) is None


def test_too_few_points_have_no_rate():
    assert fit_decay([], []) is None
    assert fit_decay([0, 1, 2, 3], np.exp(-3 * np.arange(4))) is None


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        fit_decay([0, 1, 2], [1, 2])


def test_the_run_does_not_load_the_plotting_libraries_for_it():
    program = (
        "import fem_models.steady.decay, sys; sys.exit(bool({'matplotlib', 'pyvista'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0

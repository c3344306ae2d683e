import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma

from fem_models.core.errors import InputError
from fem_models.particles.excluded_volume import excluded_volume, nonlinear_coefficient

BALL = {1: 2.0, 2: math.pi, 3: 4.0 * math.pi / 3.0}
FEW = settings(max_examples=15, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("interaction", "dimension", "exponent", "value"),
    [
        ("hard-sphere", 1, None, 2.0),
        ("hard-sphere", 2, None, math.pi),
        ("hard-sphere", 3, None, 4.0 * math.pi / 3.0),
        ("yukawa", 2, None, 3.926237),
        ("yukawa", 3, None, 10.887971),
        ("power-law", 2, 4, 5.568328),
        ("power-law", 3, 4, 15.186919),
        ("exp(-r)/r", 2, None, 3.926237),
        ("r**-4", 3, None, 15.186919),
        (lambda r: np.exp(-r) / r, 3, None, 10.887971),
    ],
)
def test_reference_values(interaction, dimension, exponent, value):
    assert excluded_volume(interaction, dimension, exponent) == pytest.approx(value, abs=1e-6)


def test_yukawa_in_one_dimension_against_a_plain_sum():
    # Gauss-Legendre in r, not in log r; the integrand is flat at 0 and below 1e-17 at 40.
    nodes, weights = np.polynomial.legendre.leggauss(400)
    r = 20.0 * (nodes + 1.0)
    plain = 2.0 * np.sum(20.0 * weights * -np.expm1(-np.exp(-r) / r))
    assert excluded_volume("yukawa", 1) == pytest.approx(plain, rel=1e-10)


@pytest.mark.parametrize(
    ("interaction", "exponent", "value"),
    [("hard-sphere", None, 0.31385), ("yukawa", None, 0.39223), ("power-law", 4.0, 0.55628)],
)
def test_nonlinear_coefficient_of_the_paper(interaction, exponent, value):
    assert nonlinear_coefficient(interaction, 2, 1000, 0.01, exponent) == pytest.approx(value, abs=5e-6)


def test_one_particle_does_not_interact():
    assert nonlinear_coefficient("hard-sphere", 3, 1, 0.1) == 0.0


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("excess", [1e-4, 1e-2, 0.3, 1.0, 3.5, 30.0, 1e5])
def test_power_laws_against_the_closed_form(dimension, excess):
    exponent = dimension + excess
    closed = BALL[dimension] * gamma(1.0 - dimension / exponent)
    assert excluded_volume("power-law", dimension, exponent) == pytest.approx(closed, rel=1e-8)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("excess", [1e-2, 0.3, 9.0])
def test_algebraic_tails_of_any_function(dimension, excess):
    exponent = dimension + excess
    closed = BALL[dimension] * gamma(1.0 - dimension / exponent)
    assert excluded_volume(lambda r: r**-exponent, dimension) == pytest.approx(closed, rel=1e-8)


@FEW
@given(
    dimension=st.sampled_from([1, 2, 3]),
    radius=st.floats(1e-3, 1e3),
    height=st.sampled_from([1e-3, 0.5, 4.0, math.inf, -1.5]),
)
def test_steps(dimension, radius, height):
    exact = -math.expm1(-height) * BALL[dimension] * radius**dimension
    found = excluded_volume(lambda r: np.where(r < radius, height, 0.0), dimension)
    assert found == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("radius", [math.exp(k / 8 + 1e-7) for k in (-8, 0, 3)])
def test_steps_close_to_the_edge_of_a_panel(radius):
    found = excluded_volume(lambda r: np.where(r < radius, 2.0, 0.0), 3)
    assert found == pytest.approx(-math.expm1(-2.0) * BALL[3] * radius**3, rel=1e-10)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("amplitude", [1e-6, 0.1, -0.5])
def test_gaussians_against_their_series(dimension, amplitude):
    # exp(-A exp(-r²)) expanded in A: every power is a Gaussian integral.
    terms = [(amplitude**k, math.factorial(k), (math.pi / k) ** (dimension / 2)) for k in range(1, 20)]
    series = math.fsum(-((-1) ** k) * a / f * g for k, (a, f, g) in enumerate(terms, start=1))
    found = excluded_volume(lambda r: amplitude * np.exp(-(r**2)), dimension)
    assert found == pytest.approx(series, rel=1e-10)


def test_attractive_potentials():
    assert excluded_volume("-(r < 1)", 2) == pytest.approx(math.pi * (1 - math.e), rel=1e-10)
    # integrable attraction at the origin: exp(-u) = 1/r inside the unit ball, so 4π (1/3 - 1/2)
    assert excluded_volume("log(r)*(r < 1)", 3) == pytest.approx(-2 * math.pi / 3, rel=1e-10)
    # Lennard-Jones at the temperature where it attracts, against a plain sum up to r = 40 and its r^-6 tail
    edges = np.linspace(0.0, 40.0, 2_000_001)
    middle = (edges[1:] + edges[:-1]) / 2
    with np.errstate(over="ignore"):
        u = 4 * (middle**-12 - middle**-6)
        plain = 4 * math.pi * (np.sum(-np.expm1(-u) * middle**2) * 2e-5 - 4 / (3 * 40.0**3))
    assert excluded_volume("4*(r**-12 - r**-6)", 3) == pytest.approx(plain, rel=1e-7)


def test_no_interaction_has_no_volume():
    assert excluded_volume("0", 3) == 0.0
    assert excluded_volume(lambda r: 0.0, 1) == 0.0


def test_narrow_features_and_oscillations():
    shell = excluded_volume(lambda r: np.where(abs(r - 2.0) < 0.02, 1.0, 0.0), 3)
    assert shell == pytest.approx(-math.expm1(-1.0) * BALL[3] * (2.02**3 - 1.98**3), rel=1e-8)
    middle = (np.arange(400_000) + 0.5) * 5e-6
    plain = 2 * math.pi * np.sum(-np.expm1(-3 * np.sin(40 * middle)) * middle) * 5e-6
    assert excluded_volume("where(r < 2, 3*sin(40*r), 0)", 2) == pytest.approx(plain, rel=1e-8)


@FEW
@given(dimension=st.sampled_from([1, 2, 3]), a=st.floats(0.01, 20.0), b=st.floats(0.01, 20.0))
def test_more_repulsion_excludes_more(dimension, a, b):
    low, high = sorted((a, b))
    volumes = [excluded_volume(lambda r, c=c: c * np.exp(-r) / r, dimension) for c in (low, high)]
    assert volumes[0] <= volumes[1] * (1 + 1e-12)
    if high > 1.001 * low:
        assert volumes[0] < volumes[1]


@FEW
@given(dimension=st.sampled_from([1, 2, 3]), length=st.floats(1e-3, 1e3))
def test_scaling_with_the_range(dimension, length):
    unit = excluded_volume("yukawa", dimension)
    scaled = excluded_volume(lambda r: np.exp(-r / length) / (r / length), dimension)
    assert scaled == pytest.approx(unit * length**dimension, rel=1e-9)


@pytest.mark.parametrize(
    ("interaction", "dimension", "exponent", "message"),
    [
        ("r**-2", 3, None, "infinite"),
        ("r**-3", 3, None, "infinite"),
        ("1/(r**3*log(2 + r)**2)", 3, None, "infinite or unknown"),
        ("1", 2, None, "infinite"),
        ("sin(r)", 2, None, "infinite or unknown"),
        ("-1/r", 3, None, "too attractive"),
        ("3*log(r)*(r < 1)", 3, None, "too attractive"),
        ("sqrt(r - 1)", 3, None, "not a number"),
        ("log(1 + r**-4)", 3, None, "loses its digits"),
        (lambda r: np.full_like(r, np.nan), 2, None, "not a number"),
        (lambda r: np.where(r > 2, np.nan, 0.0), 2, None, "not a number"),
        (lambda r: np.zeros((2, 2)), 2, None, "shape"),
        (lambda r: np.where(r < 1, np.sin(1e9 / r), 0.0), 2, None, "8 digits"),
        ("yukava", 2, None, 'did you mean "yukawa"'),
        ("hard-spheres", 2, None, 'did you mean "hard-sphere"'),
        ("1/s", 2, None, "unknown name 's'"),
        ("x", 2, None, "unknown name 'x'"),
        (3.0, 2, None, "a name, an expression or a function"),
        ("hard-sphere", 4, None, "dimension must be 1, 2 or 3"),
        ("hard-sphere", True, None, "dimension"),
        ("power-law", 3, None, "needs an exponent"),
        ("power-law", 3, math.nan, "needs an exponent"),
        ("power-law", 3, "4", "needs an exponent"),
        ("power-law", 3, 3, "larger than the dimension 3, not 3"),
        ("power-law", 2, -4, "larger than the dimension 2"),
        ("yukawa", 3, 4, 'only goes with the interaction "power-law"'),
    ],
)
def test_refusals_say_why_in_one_sentence(interaction, dimension, exponent, message):
    with pytest.raises(InputError, match=message) as caught:
        excluded_volume(interaction, dimension, exponent)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value)[-1] in ".?"


@pytest.mark.parametrize(
    ("particles", "diameter", "message"),
    [
        (0, 0.1, "particles"),
        (2.5, 0.1, "particles"),
        (True, 0.1, "particles"),
        (10, 0.0, "diameter"),
        (10, -1.0, "diameter"),
        (10, math.nan, "diameter"),
        (10, math.inf, "diameter"),
        (10, None, "diameter"),
    ],
)
def test_particles_and_diameter_are_checked(particles, diameter, message):
    with pytest.raises(InputError, match=message):
        nonlinear_coefficient("hard-sphere", 2, particles, diameter)

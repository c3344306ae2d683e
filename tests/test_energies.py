import math

import numpy as np
import pytest
import ufl
from references import flow_of

from fem_models.core.errors import InputError
from fem_models.energies import (
    Boltzmann,
    Density,
    Dirichlet,
    Electrostatic,
    Energy,
    Interaction,
    Logarithmic,
    Potential,
    PowerLaw,
    Quadratic,
    fast_diffusion,
)

RHO = 1.7

# Values on the unit square at ρ = 1.7, from the formulas; Potential, ∫x² on 8 cells: 1/3 + 1/(6·64).
TERMS = {
    "boltzmann": (Boltzmann(coefficient=0.4), 0.4 * 0.902068),
    "square": (PowerLaw(2, coefficient=3.0), 3.0 * 2.89),
    "cube": (PowerLaw(3), 0.5 * 4.913),
    "fast": (PowerLaw(0.5), -2.0 * 1.303840),
    "fraction": (PowerLaw(1.5), 2.0 * 2.216529),
    "inverse": (PowerLaw(-1, coefficient=-1.0), 0.5 / 1.7),
    "logarithmic": (Logarithmic(coefficient=2.0), -2.0 * 0.530628),
    "quadratic": (Quadratic(0.6), 0.3 * 2.89),
    "repulsion": (Quadratic(-0.6), -0.3 * 2.89),
    "number": (Potential(2.5), 2.5 * 1.7),
    "expression": (Potential(lambda x: x[0] ** 2), 1.7 * (1 / 3 + 1 / 384)),
    "constant function": (Potential(lambda x: -1.0), -1.7),
    "density": (Density(lambda f, x: f["rho"] ** 2 * x[1]), 2.89 / 2),
}


@pytest.mark.parallel
def test_energy_of_a_uniform_density_term_by_term():
    energy = Energy()
    for name, (term, _) in TERMS.items():
        energy = energy + type(term)(**{**vars(term), "name": name})
    flow = flow_of("rectangle", energy, cells=(8, 8))
    state = flow.state({"rho": RHO})
    terms = flow.energy_terms(state)
    assert list(terms) == list(TERMS)
    for name, (_, expected) in TERMS.items():
        assert terms[name] == pytest.approx(expected, rel=1e-6), name
    assert flow.energy(state) == pytest.approx(sum(value for _, value in TERMS.values()), rel=1e-6)


@pytest.mark.parallel
def test_energy_of_a_density_that_depends_on_x():
    # ρ = 1 + x on the unit interval: ∫ρ² = 7/3, ∫ρ log ρ = 2 log 2 - 3/4, both up to h²/12 [f'].
    flow = flow_of("interval", PowerLaw(2) + Boltzmann(), cells=64)
    terms = flow.energy_terms(flow.state(lambda x: 1.0 + x[0]))
    correction = 1.0 / 64**2 / 12.0
    assert terms["power-law"] == pytest.approx(7 / 3 + correction * 2.0, rel=1e-10)
    assert terms["boltzmann"] == pytest.approx(2 * math.log(2) - 0.75 + correction * math.log(2), rel=1e-8)


@pytest.mark.parallel
def test_energy_of_a_region_with_vacuum_is_finite():
    flow = flow_of("interval", Boltzmann() + PowerLaw(2) + PowerLaw(0.5, name="fast"), cells=16)
    state = flow.state(lambda x: np.where(x[0] < 0.26, 2.0, 0.0))
    # Five nodes, the first of them with half a cell.
    volume = 4.5 / 16
    terms = flow.energy_terms(state)
    assert terms["boltzmann"] == pytest.approx(2 * math.log(2) * volume)
    assert terms["power-law"] == pytest.approx(4.0 * volume)
    assert terms["fast"] == pytest.approx(-2.0 * math.sqrt(2.0) * volume)


def test_sums_keep_terms_in_order():
    a, b, c, d = Boltzmann(), PowerLaw(2), Quadratic(), Potential(0.0)
    energy = (a + b) + (c + d)
    assert list(energy) == [a, b, c, d]
    assert len(a + (b + c)) == 3
    assert [term.name for term in energy] == ["boltzmann", "power-law", "quadratic", "potential"]


def test_species_of_terms_are_tuples():
    assert Boltzmann(of="u").of == ("u",)
    assert Potential(1.0, of=("v",)).of == ("v",)
    assert Density(lambda f, x: f["u"] * f["v"], of=("u", "v")).of == ("u", "v")
    assert Density(lambda f, x: f["u"], of="u").of == ("u",)


def test_only_entropies_have_an_entropy():
    assert Boltzmann(of="u", coefficient=2.5).entropy == {"u": 2.5}
    for term in (PowerLaw(2), Quadratic(), Potential(1.0), Density(lambda f, x: f["rho"])):
        assert not term.entropy


@pytest.mark.parametrize("alpha", [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])
def test_energies_of_fast_diffusion_have_the_diffusivity_of_their_name(alpha):
    """ρ e'' = c ρ^{-α} (Evans, Morris and Yoldaş, (1.3)), by differences of e."""
    term = fast_diffusion(alpha, coefficient=1.5)
    step = 1e-4

    def e(rho):
        return float(ufl.as_ufl(term.density({"rho": ufl.as_ufl(rho)}, None)))

    curvature = (e(RHO + step) - 2.0 * e(RHO) + e(RHO - step)) / step**2
    assert RHO * curvature == pytest.approx(1.5 * RHO**-alpha, rel=1e-5)


def test_density_sees_its_own_species_only():
    seen = []
    Density(lambda f, x: seen.append(set(f)) or 0.0, of=("u",)).density(
        {"u": ufl.as_ufl(1.0), "v": ufl.as_ufl(1.0)}, None
    )
    assert seen == [{"u"}]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PowerLaw(2) + PowerLaw(3), "Two energy terms are called power-law"),
        (lambda: (Boltzmann() + Quadratic()) + (Potential(0.0) + Boltzmann()), "called boltzmann"),
        (lambda: PowerLaw(1.0), "exponent m of power-law"),
        (lambda: PowerLaw(0.0), "exponent m of power-law"),
        (
            lambda: PowerLaw(-2),
            "exponent m of power-law is -2: with a negative one, the coefficient",
        ),
        (lambda: PowerLaw(-2, coefficient=-math.inf), "coefficient of power-law must be a finite"),
        (lambda: Logarithmic(coefficient=-1.0), "coefficient of logarithmic must be a positive"),
        (lambda: fast_diffusion(0.5, coefficient=0.0), "coefficient of diffusion must be a positive"),
        (lambda: PowerLaw(math.inf), "exponent m of power-law"),
        (lambda: PowerLaw(math.nan), "exponent m of power-law"),
        (lambda: PowerLaw(2, coefficient=0.0), "coefficient of power-law must be a positive"),
        (lambda: Boltzmann(coefficient=-1.0), "coefficient of boltzmann must be a positive"),
        (lambda: Boltzmann(coefficient=math.nan), "coefficient of boltzmann must be a positive"),
        (lambda: Boltzmann(coefficient=math.inf, name="heat"), "coefficient of heat must be a positive"),
        (lambda: Quadratic(math.nan), "coefficient of quadratic must be a finite"),
        (lambda: Quadratic(of=("u", "v")), "quadratic belongs to one species, not to u, v"),
        (lambda: Boltzmann(of=()), "boltzmann belongs to one species"),
    ],
)
def test_bad_terms_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parallel
@pytest.mark.parametrize("name", TERMS)
def test_multiples_of_terms(name):
    term, value = TERMS[name]
    flow = flow_of("rectangle", 2 * term, cells=(8, 8))
    assert flow.energy(flow.state({"rho": RHO})) == pytest.approx(2.0 * value, rel=1e-6)
    assert flow.terms.terms[0].name == term.name
    with pytest.raises(InputError, match="must be a finite number, not nan"):
        math.nan * term


def test_sums_differences_and_multiples():
    a, b, c = Boltzmann("u"), Quadratic(3.0, "u"), Potential(2.0, "u")
    assert list(sum([a, b, c])) == [a, b, c]
    assert list(sum([a + b, c])) == [a, b, c]
    assert list(2 * (a + b)) == [Boltzmann("u", 2.0), Quadratic(6.0, "u")]
    assert list(a - b) == [a, Quadratic(-3.0, "u")]
    assert np.float64(2.0) * a == a * 2 == Boltzmann("u", 2.0)
    assert list(np.float64(2.0) * (a + b)) == list((a + b) * 2)
    assert (a.coefficient, b.coefficient) == (1.0, 3.0)
    assert -b == Quadratic(-3.0, "u")
    assert a / 4 == Boltzmann("u", 0.25)
    assert repr(a + b) == "Energy(boltzmann, quadratic)"


def test_energies_are_not_changed_in_place():
    energy = Boltzmann() + Quadratic()
    with pytest.raises(AttributeError):
        energy.terms = ()
    before = energy
    energy += Potential(1.0)
    assert len(before) == 2
    assert len(energy) == 3


@pytest.mark.parametrize(
    "make",
    [lambda: Boltzmann() + 1, lambda: 1 + Boltzmann(), lambda: Boltzmann() * None, lambda: Energy() / 0],
)
def test_what_is_neither_a_sum_nor_a_multiple(make):
    with pytest.raises(TypeError, match="unsupported operand"):
        make()


def test_multiples_of_parts_that_couple_points():
    assert (2 * Dirichlet("c", 3.0)).stiffness(None)["c"] == 6.0
    kernel = 2 * Interaction(lambda z: z[0], "u", 3.0)
    assert kernel.of == ("u", "u")
    np.testing.assert_allclose(kernel.interaction[2](np.array([[1.0, 2.0]])), [6.0, 12.0])
    charges = 3 * Electrostatic({"u": 1.0, "v": -1.0}, permittivity=2.0)
    assert charges.of == ("u", "v", "psi")
    assert charges.stiffness(None)["psi"] == -6.0
    fields = {"u": ufl.as_ufl(2.0), "v": ufl.as_ufl(0.5), "psi": ufl.as_ufl(1.0)}
    assert float(charges.density(fields, None)) == 4.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PowerLaw("2"), "The exponent m of power-law must be finite and neither 0 nor 1, not '2'"),
        (
            lambda: PowerLaw(2, coefficient="1"),
            "coefficient of power-law must be a positive finite number, not '1'",
        ),
        (
            lambda: Boltzmann(2.0),
            r"species of the energy term boltzmann must be given by their names, not 2\.0",
        ),
        (lambda: -Boltzmann(), r"coefficient of boltzmann must be a positive finite number, not -1\.0"),
        (lambda: 0 * PowerLaw(2), r"coefficient of power-law must be a positive finite number, not 0\.0"),
        (lambda: Boltzmann("u") + Boltzmann("v"), r'as in Boltzmann\(\.\.\., name="boltzmann-2"\)'),
        (lambda: Energy([Boltzmann(), 3]), "An energy is a sum of energy terms, not of 3"),
        (lambda: Interaction(lambda z: z[0], ("u", "v", "w")), "of one or two species, not of 3"),
        (lambda: Electrostatic({"u": "1"}), "The valence of u must be a finite number, not '1'"),
    ],
)
def test_terms_that_make_no_sense_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()

"""Poisson–Nernst–Planck: promises, closed forms in space, the dissipation identity, and refusals."""

import math

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from pnp_problems import cap, in_space, marked_mesh
from references import DIRECT, orders, total

from fem_models.core.errors import InputError
from fem_models.exact.coulomb import gaussian_interaction, gaussian_potential
from fem_models.exact.profiles import Gaussian
from fem_models.expressions import Expression
from fem_models.flow.neutrality import check_neutral
from fem_models.meshes import domains as meshes
from fem_models.meshes.whole_space import space_coefficient
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.systems.poisson_nernst_planck import Ion, poisson_nernst_planck

COMM = MPI.COMM_WORLD
STEPS = (1e-3, 1e-1, 1.0, 10.0)
THREE = (Ion("a", 2.0), Ion("b", -1.0, lambda x: x[0]), Ion("c", -1.0))
ONE_OF_EACH = {"u": 1.0, "v": 1.0}


def neumann(m, alone=False):
    flow = poisson_nernst_planck(marked_mesh("rectangle", alone, h=0.2), m=m, permittivity=0.02)
    return flow, flow.state({"u": cap((0.3, 0.4), 0.25), "v": cap((0.7, 0.6), 0.2)}, ONE_OF_EACH)


def electrodes(m, alone=False):
    marked = marked_mesh("rectangle", alone, h=0.2)
    given = {"left": 2.0, "right": -1.0}
    flow = poisson_nernst_planck(marked, m=m, permittivity=0.02, electrodes=given)
    # A net charge: field lines end on the electrodes.
    return flow, flow.state({"u": cap((0.3, 0.4), 0.25), "v": cap((0.7, 0.6), 0.2)}, {"u": 1.0, "v": 2.0})


def three_ions(m, alone=False):
    """Valences 2, -1 and -1, a permittivity that jumps, and doping that balances the charges."""
    mesh = marked_mesh("rectangle", alone, cells=(8, 8))
    flow = poisson_nernst_planck(
        mesh,
        THREE,
        m,
        permittivity=lambda x: ufl.conditional(ufl.lt(x[0], 0.5), 0.02, 0.5),
        doping=lambda x: 4.0 * x[0] - 1.0,
    )
    densities = {"a": cap((0.3, 0.4), 0.25), "b": cap((0.7, 0.6), 0.2), "c": lambda x: np.ones(len(x[0]))}
    return flow, flow.state(densities, {"a": 1.0, "b": 2.0, "c": 1.0})


def whole_space(m, alone=False):
    confined = [Ion(name, z, lambda x: 0.5 * ufl.dot(x, x)) for name, z in (("u", 1.0), ("v", -1.0))]
    flow = in_space(0.4, alone, confined, m)
    return flow, flow.state({"u": cap((0.3, 0.0, 0.0), 0.6), "v": cap((-0.3, 0.1, 0.0), 0.5)}, ONE_OF_EACH)


def settled(problem):
    flow, state = problem
    return flow, flow.settled(state)


def check_promises(flow, state, flux, tau, steps=3):
    masses = np.array(list(flow.masses(state).values()))[flow.transported]
    energies = [flow.energy(state)]
    scheme = BackwardEuler(flow, flux, DIRECT)
    for _ in range(steps):
        state = scheme.step(state, tau).state
        now = np.array(list(flow.masses(state).values()))[flow.transported]
        np.testing.assert_allclose(now, masses, rtol=1e-12)
        assert state[:, flow.transported].min() >= 0.0
        assert np.all(state[~flow.inside][:, flow.transported] == 0.0)
        energies.append(flow.energy(state))
    assert np.all(np.diff(energies) <= 1e-11 * np.abs(energies).max())
    assert energies[1] < energies[0]


@pytest.mark.parametrize("tau", STEPS)
@pytest.mark.parametrize(
    ("case", "m"),
    [*((case, m) for case in (neumann, electrodes) for m in (1.0, 2.0, 3.0)), (three_ions, 1.0)],
)
def test_mass_sign_and_energy_for_steps_of_any_size(case, m, tau):
    flow, state = settled(case(m))
    # With an entropy both names stand for the same flux.
    for flux in ("upwind",) if m == 1.0 else ("upwind", "average"):
        check_promises(flow, state, flux, tau)


GRID = """
Point(1) = {0, 0, 0, 0.2}; Point(2) = {0.5, 0, 0, 0.2}; Point(3) = {1, 0, 0, 0.2};
Point(4) = {1, 1, 0, 0.2}; Point(5) = {0.5, 1, 0, 0.2}; Point(6) = {0, 1, 0, 0.2};
For k In {1:6}
  Line(k) = {k, (k % 6) + 1};
EndFor
Line(7) = {2, 5};
Curve Loop(1) = {1, 7, 5, 6}; Plane Surface(1) = {1};
Curve Loop(2) = {2, 3, 4, -7}; Plane Surface(2) = {2};
Physical Curve("ends") = {3, 6};
Physical Curve("grid") = {7};
Physical Surface("all") = {1, 2};
"""


@pytest.mark.parallel
def test_a_curve_inside_the_domain_is_an_electrode(shared_tmp_path):
    path = shared_tmp_path / "grid.geo"
    if COMM.rank == 0:
        path.write_text(GRID)
    marked = meshes.from_file(COMM, path)
    assert set(marked.boundaries) == {"boundary", "ends"} and set(marked.interfaces) == {"grid"}
    flow = poisson_nernst_planck(marked, permittivity=0.1, electrodes={"ends": 0.0, "grid": 2.0})
    # Without a net charge ψ is linear on both sides of the electrode.
    state = flow.settled(flow.state({"u": 1.0, "v": 1.0}))
    psi = 2.0 * (1.0 - 2.0 * np.abs(flow.points[:, 0] - 0.5))
    np.testing.assert_allclose(state[:, 2], psi, atol=1e-12)
    check_promises(flow, state, "upwind", 0.1)


@pytest.mark.parametrize("m", [1.0, 2.0, 3.0])
def test_mass_sign_and_energy_in_space(m):
    flow, state = settled(whole_space(m))
    assert flow.geometry.negative_share == 0.0
    for tau in (1e-3, 10.0):
        check_promises(flow, state, "upwind", tau, 2)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("case", "m"), [(neumann, 2.0), (electrodes, 1.0), (three_ions, 1.0), (whole_space, 1.0)]
)
def test_energies_are_those_of_each_rank_alone(case, m):
    def energies(alone):
        flow, state = settled(case(m, alone))
        scheme, found = BackwardEuler(flow, "average", DIRECT), [flow.energy(state)]
        for _ in range(3):
            state = scheme.step(state, 0.1).state
            found.append(flow.energy(state))
        check_promises(flow, state, "average", 1.0, 1)
        return found

    assert energies(False) == pytest.approx(energies(True), rel=1e-9)


# ψ falls from a range of 6e3 to one of 0.02 in the longest step.
@pytest.mark.parametrize("m", [1.0, 2.0])
def test_newton_converges_for_charges_that_screen_each_other_strongly(m):
    flow = poisson_nernst_planck(marked_mesh("rectangle", h=0.1), m=m, permittivity=1e-4)
    state = flow.state(
        {"u": Gaussian.isotropic((0.3, 0.5), 0.16), "v": Gaussian.isotropic((0.7, 0.5), 0.16)}, ONE_OF_EACH
    )
    for tau in STEPS:
        check_promises(flow, state, "upwind", tau)


@pytest.mark.parallel
@pytest.mark.parametrize("charges", [(1.0, 1.0), (1.0, 0.5)], ids=["dipole", "net charge"])
def test_potential_and_energy_of_gaussians_in_space(charges):
    centers, widths = np.array([[0.25, 0.0, 0.1], [-0.25, 0.1, 0.0]]), (0.25, 0.3)
    p, q = charges
    distance = float(np.linalg.norm(centers[0] - centers[1]))
    energy = 0.5 * (
        p**2 * gaussian_interaction(0.0, widths[0], widths[0])
        + q**2 * gaussian_interaction(0.0, widths[1], widths[1])
        - 2.0 * p * q * gaussian_interaction(distance, *widths)
    )
    errors = []
    for h in (0.3, 0.15):
        flow = in_space(h, radius=1.5)
        densities = {
            name: Gaussian.isotropic(*at) for name, *at in zip("uv", centers, widths, charges, strict=True)
        }
        state = flow.state(densities, dict(zip("uv", charges, strict=True)))
        exact = gaussian_potential(flow.points.T, centers[0], widths[0], p)
        exact += gaussian_potential(flow.points.T, centers[1], widths[1], -q)
        norms = [total(flow, flow.geometry.volumes * f**2) for f in (state[:, -1] - exact, exact)]
        terms = flow.energy_terms(state)
        errors.append([math.sqrt(norms[0] / norms[1]), abs(terms["electrostatic"] / energy - 1.0)])
        field = float(flow.comm.allreduce(-flow.couplings.energies(state).sum()))
        assert terms["electrostatic"] == pytest.approx(field, rel=1e-9)
    assert np.all(orders(errors) > 1.8)
    assert np.all(np.array(errors[-1]) < 3e-2)


@pytest.mark.parametrize("m", [1.0, 2.0])
def test_dissipation_is_the_loss_of_energy(m):
    flow = poisson_nernst_planck(marked_mesh("rectangle", h=0.13), m=m, permittivity=0.1)
    state = flow.state(
        {"u": lambda x: 1.0 + 0.5 * np.cos(np.pi * x[0]), "v": lambda x: 1.0 + 0.5 * np.cos(np.pi * x[1])},
        ONE_OF_EACH,
    )
    start = flow.settled(state)
    gaps = []
    for steps in (5, 10, 20):
        scheme, state, dissipated = BackwardEuler(flow, "upwind", DIRECT), start, 0.0
        for _ in range(steps):
            state = scheme.step(state, 0.05 / steps).state
            dissipated += 0.05 / steps * flow.dissipation(state)
        gaps.append((flow.energy(start) - flow.energy(state)) / dissipated - 1.0)
    assert np.all(np.array(gaps) > 0.0)
    assert orders(gaps) == pytest.approx([1.0, 1.0], abs=0.15)


# Refusals


@pytest.mark.parallel
def test_charges_that_do_not_balance_are_refused_with_their_numbers():
    flow = poisson_nernst_planck(marked_mesh("rectangle", h=0.13))
    masses = {"u": 1.0, "v": 1.5}
    state = flow.nodal_values({"u": 1.0, "v": 1.0}, masses)
    with pytest.raises(InputError, match=r"add up to -0\.5 \(positive 1, negative 1\.5\)"):
        check_neutral(flow, state)
    with pytest.raises(InputError, match=r"add up to -0\.5 \(positive 1, negative 1\.5\)"):
        flow.state({"u": 1.0, "v": 1.0}, masses)
    # Balanced to rounding, and equal at every node to rounding as well.
    check_neutral(flow, flow.state({"u": 1.0, "v": 3.0}, ONE_OF_EACH))


def test_doping_and_electrodes_balance_charges():
    marked = marked_mesh("rectangle", h=0.13)
    flow = poisson_nernst_planck(marked, [Ion("u", 2.0)], doping=-2.0)
    check_neutral(flow, flow.state({"u": 1.0}))
    flow = poisson_nernst_planck(marked, [Ion("u", 2.0)], electrodes={"top": 0.0})
    check_neutral(flow, flow.state({"u": 1.0}))


@pytest.mark.parametrize("m", [0.9, 0.0, math.nan, math.inf])
def test_exponents_below_one_are_refused(m):
    with pytest.raises(InputError, match="exponent m of the ions must be 1 or more"):
        poisson_nernst_planck(marked_mesh("interval", cells=8), m=m)


@pytest.mark.parallel
@pytest.mark.parametrize(
    "permittivity", [0.0, lambda x: x[0] - 0.01, lambda x: ufl.sqrt(x[0] - 0.5)], ids=["0", "negative", "nan"]
)
def test_permittivities_that_are_not_positive_are_refused(permittivity):
    with pytest.raises(InputError, match="permittivity must be positive in every cell"):
        poisson_nernst_planck(marked_mesh("interval", cells=80), permittivity=permittivity)


def test_a_system_without_ions_is_refused():
    with pytest.raises(InputError, match="needs at least one kind of ions"):
        poisson_nernst_planck(marked_mesh("interval", cells=8), [])


@pytest.mark.parametrize(
    ("ions", "message"),
    [
        ([Ion("u", 1.0), Ion("u", -1.0)], "called diffusion-u"),
        ([Ion("u", math.inf)], "valence of u must be a finite number"),
    ],
)
def test_ions_that_make_no_sense_are_refused(ions, message):
    with pytest.raises(InputError, match=message):
        poisson_nernst_planck(marked_mesh("interval", cells=8), ions)


def test_where_electrodes_meet_the_first_counts():
    marked = marked_mesh("rectangle", cells=(4, 4))
    given = {"left": 3.0, "top": -1.0}
    flow = poisson_nernst_planck(marked, electrodes=given)
    state = flow.nodal_values({"u": 1.0, "v": 1.0})
    corner = np.flatnonzero(np.abs(flow.points - [0.0, 1.0]).max(axis=1) < 1e-12)
    other = np.flatnonzero(np.abs(flow.points - [1.0, 1.0]).max(axis=1) < 1e-12)
    assert state[corner, -1] == 3.0
    assert state[other, -1] == -1.0


@pytest.mark.parallel
@pytest.mark.parametrize(
    "potential",
    [
        lambda x: 1.0 + np.sin(x[1]),
        lambda x: 1.0 + ufl.sin(x[1]),
        "1 + sin(y)",
        Expression("1 + sin(y)", ("y",)),
    ],
    ids=["NumPy", "UFL", "text", "formula"],
)
def test_potentials_of_electrodes_however_they_are_given(potential):
    flow = poisson_nernst_planck(marked_mesh("rectangle", cells=(4, 4)), electrodes={"left": potential})
    ((nodes, values),) = flow.fixed.values()
    np.testing.assert_array_equal(nodes, np.flatnonzero(np.abs(flow.points[:, 0]) < 1e-12))
    np.testing.assert_allclose(values, 1.0 + np.sin(flow.points[nodes, 1]), rtol=1e-14)
    # Where the field is solved for, up to the tolerance of its solver.
    np.testing.assert_allclose(flow.state({"u": 1.0, "v": 1.0})[nodes, -1], values, rtol=1e-11)


def test_a_potential_may_be_infinite_away_from_its_electrode():
    flow = poisson_nernst_planck(
        marked_mesh("rectangle", cells=(4, 4)), electrodes={"right": "1 + log(2*x - 1)"}
    )
    assert flow.state({"u": 1.0, "v": 1.0})[:, -1].max() == pytest.approx(1.0)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"electrodes": {"rihgt": 1.0}},
            'electrodes: "rihgt" is not a boundary of the mesh; did you mean right\\? Allowed: bottom, b',
        ),
        ({"electrodes": ["left"]}, 'electrodes must be potentials by boundary, as in {"left": 1.0}'),
        (
            {"electrodes": {"left": "log(2*x - 1)"}},
            'potential of the electrode "left" is not finite everywhere',
        ),
        ({"electrodes": {"left": "w"}}, 'potential of the electrode "left": unknown name'),
        ({"electrodes": {"left": None}}, 'The potential of the electrode "left" must be a number'),
        ({"region": "ball"}, 'region = "ball" is not a region of the mesh'),
        ({"permittivity": lambda x: np.exp(x[0])}, "The permittivity is a function with NumPy functions"),
    ],
)
def test_what_cannot_be_in_the_system(keys, message):
    with pytest.raises(InputError, match=message):
        poisson_nernst_planck(marked_mesh("rectangle", cells=(4, 4)), **keys)


def test_nothing_is_given_at_infinity():
    for name in ("infinity", "boundary"):
        with pytest.raises(
            InputError, match=f'electrodes: "{name}" is at infinity, where psi is zero; remove it'
        ):
            poisson_nernst_planck(marked_mesh("space", h=0.7), electrodes={name: 1.0})


@pytest.mark.parametrize("dim", [1, 2])
def test_the_whole_space_is_refused_in_one_and_two_dimensions(dim):
    marked = marked_mesh("interval" if dim == 1 else "rectangle", cells=(8,) * dim)
    with pytest.raises(InputError, match=f"in dimension {dim} the potential of a charge grows"):
        space_coefficient(marked)


@pytest.mark.parallel
@pytest.mark.parametrize("domain", ["interval", "rectangle"])
def test_doping_that_jumps_at_nodes_is_integrated_cell_by_cell(domain):
    mesh = marked_mesh(domain, cells=(10, 4)[: 1 if domain == "interval" else 2])
    ions = [Ion("n", -1), Ion("p", 1)]
    flow = poisson_nernst_planck(mesh, ions, permittivity=1e-2, doping="where(x < 0.5, 1, -1)")
    # By symmetry the charges balance; at the nodes of the jump half of each side counts.
    state = flow.state({"n": 0.48, "p": 0.48})
    zero = flow.nodal_values({"n": 1e-300, "p": 1e-300})
    assert abs(flow.charges(zero)[0, 2]) < 1e-14
    potentials = flow.smooth_potentials(zero)[:, 2]
    x = flow.points[:, 0]
    there = np.abs(x - 0.5) < 1e-9
    assert potentials[~there] == pytest.approx(np.sign(0.5 - x[~there]), abs=1e-12)
    # Three triangles of one side or two of the other meet the wall there.
    assert np.abs(potentials[there]).max(initial=0.0) < (1e-12 if domain == "interval" else 0.34)
    # ψ is odd about the junction.
    assert flow.maxima(state)["psi"] == pytest.approx(-flow.minima(state)["psi"], rel=1e-10)

"""Gradient flows on tori, against exact solutions, and against themselves moved across the seam."""

import math
from functools import cache

import numpy as np
import pytest
from mpi4py import MPI

import fem_models as fm
from fem_models.core.errors import InputError
from fem_models.nodal.unfolded import Unfolded

COMM = MPI.COMM_WORLD
CELLS = {1: (16, 32), 2: (12, 24), 3: (6, 12)}
END = 0.01


@cache
def torus(dim, count):
    return fm.mesh("torus", cells=[count] * dim)


@cache
def flow(dim, count, power=1.0):
    return fm.Flow(torus(dim, count), fm.Boltzmann() if power == 1.0 else fm.PowerLaw(power))


def l1(found, exact):
    volumes = found.flow.discrete.geometry.volumes[: len(exact)]
    return COMM.allreduce(float(volumes @ np.abs(found.array[:, 0] - exact)))


def last(made, rho, step, end=END):
    *_, moment = fm.evolve(made, rho, fm.Bdf2(flux="average"), step=step, until=end)
    return moment


@pytest.mark.parallel
@pytest.mark.parametrize("dim", CELLS)
def test_modes_of_the_heat_equation_decay_with_their_rate_to_second_order(dim):
    """ρ = 1 + a e^{-4π²t} Σ cos(2πx_k - 1); h and τ are halved together."""
    errors = []
    for level, count in enumerate(CELLS[dim]):
        made = flow(dim, count)
        modes = " + ".join(f"cos(2*pi*{x} - 1)" for x in "xyz"[:dim])
        rho = made.state(f"1 + 0.2*({modes})")
        moment = last(made, rho, 0.001 / 2**level)
        x = moment.state.points
        exact = 1 + 0.2 * math.exp(-4 * math.pi**2 * END) * np.cos(2 * math.pi * x - 1).sum(axis=1)
        errors.append(l1(moment.state, exact))
        assert made.discrete.geometry.negative_share == 0.0
        assert abs(moment.masses["rho"] - rho.masses()["rho"]) <= 1e-13
    assert math.log2(errors[0] / errors[1]) > 1.9


@pytest.mark.parallel
@pytest.mark.parametrize("dim", [1, 2])
def test_barenblatt_profiles_spread_across_the_seam(dim):
    """Around the corner of the brick, before they meet themselves; mass, sign and energy are kept."""
    exponent = 1 / (dim + 2)

    def profile(x, time):
        near = x - np.round(x)
        height = 0.05 - exponent / 4 * (near**2).sum(axis=1) / time ** (2 * exponent)
        return np.maximum(height, 0.0) / time ** (dim * exponent)

    errors = []
    for level, count in enumerate((32, 64)):
        made = flow(dim, count, 2.0)
        rho = made.state(lambda x: profile(x.T, 0.01))
        energies, step = [rho.energy()], 0.0004 / 2**level
        scheme = fm.BackwardEuler(flux="average") if level == 0 else fm.Bdf2(flux="average")
        for moment in fm.evolve(made, rho, scheme, step=step, until=0.01):
            energies.append(moment.energy)
        if level == 0:
            assert max(np.diff(energies)) <= 1e-14
        assert moment.state.minima()["rho"] >= 0.0
        mass = rho.masses()["rho"]
        assert abs(moment.masses["rho"] - mass) <= 1e-13 * mass
        errors.append(l1(moment.state, profile(moment.state.points, 0.02)) / mass)
    assert errors[0] < 0.05 and errors[1] < 0.6 * errors[0]


@pytest.mark.parallel
def test_what_begins_elsewhere_ends_elsewhere():
    """Moved by five cells, across the seam, a bump gives the same numbers, moved by five cells."""
    made = flow(2, 24, 2.0)
    ends = []
    for shift in (0, 5):
        where = f"cos(2*pi*(x - {shift}/24))*cos(2*pi*(y - {shift}/24))"
        moment = last(made, made.state(f"1 + 0.9*{where}"), 0.001, 0.003)
        numbers = made.discrete.keys
        row, column = numbers // 24, numbers % 24
        place = (row - shift) % 24 * 24 + (column - shift) % 24
        whole = np.zeros(24 * 24)
        whole[place] = moment.state.array[:, 0]
        ends.append(COMM.allreduce(whole))
    assert np.abs(ends[0] - ends[1]).max() <= 1e-10


@pytest.mark.parallel
@pytest.mark.parametrize(("lengths", "h"), [([1.0, 1.5], 0.1), ([1.0, 1.0, 1.2], 0.2)])
def test_unstructured_tori_keep_mass_and_follow_the_heat_equation(lengths, h):
    mesh = fm.mesh("torus", lengths=lengths, h=h)
    made = fm.Flow(mesh, fm.Boltzmann())
    edges, k = made.discrete.geometry, 2 * math.pi / np.array(lengths)
    assert mesh.lengths == pytest.approx(lengths, rel=1e-12)
    assert edges.h_max < 3 * h
    assert made.discrete.volume == pytest.approx(math.prod(lengths), rel=1e-12)
    modes = " + ".join(f"cos(2*pi*{x}/{length} - 1)" for x, length in zip("xyz", lengths, strict=False))
    rho = made.state(f"1 + 0.2*({modes})")
    moment = last(made, rho, 0.002)
    exact = 1 + 0.2 * (np.exp(-(k**2) * END) * np.cos(k * moment.state.points - 1)).sum(axis=1)
    # A tenth of the size of the modes in 2D; the 3D mesh has six cells around.
    assert l1(moment.state, exact) < {2: 0.01, 3: 0.03}[len(lengths)]
    assert abs(moment.masses["rho"] - rho.masses()["rho"]) <= 1e-13


@pytest.mark.parallel
def test_a_potential_without_boundary_solves_poissons_equation_with_mean_zero():
    """-Δψ = 0.4 cos(2πx) for u - v = 0.4 cos(2πx): ψ = 0.4 cos(2πx)/(4π²), of second order."""
    errors = []
    for count in (12, 24):
        made = fm.poisson_nernst_planck(torus(2, count))
        state = made.state({"u": "1 + 0.2*cos(2*pi*x)", "v": "1 - 0.2*cos(2*pi*x)"})
        psi = state.array[:, state.names.index("psi")]
        volumes = made.discrete.geometry.volumes[: len(psi)]
        assert abs(COMM.allreduce(float(volumes @ psi))) < 1e-13
        exact = 0.4 * np.cos(2 * np.pi * state.points[:, 0]) / (4 * np.pi**2)
        errors.append(COMM.allreduce(float(volumes @ np.abs(psi - exact))))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parallel
@pytest.mark.parametrize("dim", CELLS)
def test_output_is_on_the_brick_with_no_stretched_cells_and_all_the_mass(dim):
    made = flow(dim, CELLS[dim][0])
    state = made.state("1 + 0.5*cos(2*pi*x - 1)")
    function = made.discrete.functions(state.nodal)["rho"]
    mesh = function.function_space.mesh
    points = function.function_space.tabulate_dof_coordinates()
    assert np.abs(function.x.array - 1 - 0.5 * np.cos(2 * np.pi * points[:, 0] - 1)).max() < 1e-13
    sizes = np.ptp(mesh.geometry.x[mesh.geometry.dofmaps[0]], axis=1)
    assert sizes.max() < 1.01 / CELLS[dim][0]
    assert mesh.topology.index_map(0).size_global == (CELLS[dim][0] + 1) ** dim
    copies = Unfolded(made.discrete.space).copies
    assert COMM.allreduce(int(copies[: made.discrete.owned].sum())) == (CELLS[dim][0] + 1) ** dim
    assert not made.discrete.has_moments


@pytest.mark.parallel
def test_the_distance_on_a_circle_is_along_the_shorter_way():
    """A bump moved by 0.3, and by -0.3 across the seam; and densities whose transport is known.

    The monotone map from ρ = 1 + ½cos 2πx to 1 that keeps 0 and ½ is T = x + sin(2πx)/(4π), so that
    W² = ∫ρ (T - x)² = 1/(32π²): the cosine of ρ does not count, as sin² cos has mean zero.
    """
    made = flow(1, 64)
    bumps = [made.state(f"exp(20*cos(2*pi*(x - {a})))", mass=1) for a in (0.1, 0.4, 0.8)]
    there, back = (fm.wasserstein(bumps[0], bump, slabs=6).distance for bump in bumps[1:])
    assert there == pytest.approx(back, rel=1e-6)
    # The error of the slabs is of this size, as on an interval.
    assert there == pytest.approx(0.3, rel=0.02)
    exact, errors = 1 / math.sqrt(32 * math.pi**2), []
    for slabs in (2, 4):
        found = fm.wasserstein(made.state("1 + 0.5*cos(2*pi*x)"), made.state("1"), slabs=slabs)
        errors.append(found.distance / exact - 1)
    assert abs(errors[1]) < 2e-3 and abs(errors[1]) < abs(errors[0])


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (fm.Potential("x"), "not periodic: from one side of the torus to the other it jumps by 1.5"),
        (fm.Interaction(lambda z: z[0] ** 2), "The kernel is not periodic"),
    ],
)
def test_what_is_not_periodic_is_refused(energy, message):
    with pytest.raises(InputError, match=message):
        fm.Flow(torus(1, 16), fm.Boltzmann() + energy)


@pytest.mark.parallel
def test_a_periodic_kernel_sees_densities_across_the_seam():
    """K = cos(2πz) and ρ = 1 + cos(2πx - s): the energy depends on no shift s."""
    made = fm.Flow(torus(1, 32), fm.Interaction(lambda z: np.cos(2 * np.pi * z[0])))
    energies = [made.state(f"1 + cos(2*pi*x - {shift})").energy() for shift in (0, 3)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-9)
    assert energies[0] > 0.1

"""Flows, states, schemes and evolutions of the public face, on one rank and several."""

import math

import numpy as np
import pytest
import ufl
from dolfinx import fem
from mpi4py import MPI

import fem_models as fm
from fem_models.schemes.bdf2 import Bdf2

COMM = MPI.COMM_WORLD


@pytest.fixture(scope="module")
def flow():
    square = fm.mesh("rectangle", cells=[12, 10])
    return fm.Flow(square, fm.PowerLaw(2) + fm.Potential("2*r**2"))


@pytest.fixture(scope="module")
def rho(flow):
    return flow.state("where(x > 0.4, 1, 0)", mass=1)


def same(found, expected):
    """Bit by bit; on several ranks MUMPS adds up in any order, and ghosts are rounded otherwise."""
    np.testing.assert_allclose(
        found, expected, rtol=0.0, atol=1e-13 * np.abs(expected).max() * (COMM.size > 1)
    )


@pytest.mark.parallel
def test_an_evolution_is_that_of_the_scheme(flow, rho):
    moments = list(fm.evolve(flow, rho, fm.Bdf2(flux="average"), step=0.02, until=0.1, at=[0.05]))
    assert [moment.time for moment in moments] == pytest.approx(
        [0.05 / 3, 0.1 / 3, 0.05, 0.2 / 3, 0.25 / 3, 0.1]
    )
    assert [moment.marked for moment in moments] == [False, False, True, False, False, False]
    scheme, nodal = Bdf2(flow.discrete, "average"), rho.nodal
    for moment in moments:
        nodal = scheme.step(nodal, 0.05 / 3).state
        same(moment.state.nodal, nodal)
        assert moment.energy == pytest.approx(flow.discrete.energy(nodal))
        assert moment.masses == {"rho": pytest.approx(1.0, rel=1e-13)}
        assert moment.minima == moment.state.minima()
        assert moment.minima["rho"] >= 0.0
        assert moment.maxima == moment.state.maxima()
        assert moment.maxima["rho"] > 1.0
    energies = [rho.energy(), *(moment.energy for moment in moments)]
    assert np.all(np.diff(energies) < 0.0)


@pytest.mark.parallel
def test_a_state_knows_its_numbers_and_hides_its_ghosts(flow, rho):
    local = flow.discrete.owned
    assert rho.array.shape == (local, 1)
    assert COMM.allreduce(local) == 13 * 11
    assert rho.points.shape == (local, 2)
    assert isinstance(rho["rho"], fem.Function)
    assert rho["rho"].name == "rho"
    assert np.array_equal(rho["rho"].x.array, rho.nodal[:, 0])
    assert repr(rho) == "State(rho; 143 nodes)"
    assert repr(flow) == "Flow(rho; power-law + potential; 143 nodes)"
    assert rho.masses() == {"rho": pytest.approx(1.0)}
    assert rho.energy() == pytest.approx(math.fsum(rho.energy_terms().values()))
    assert (rho.minima()["rho"], rho.maxima()["rho"]) == (0.0, COMM.allreduce(rho.array.max(), op=MPI.MAX))
    assert rho.dissipation() > 0.0
    rho.array[:] = -1.0  # a copy
    assert rho.minima()["rho"] == 0.0
    with pytest.raises(fm.InputError, match='The flow has no field "roh"; did you mean rho'):
        rho["roh"]


@pytest.mark.parallel
def test_a_state_is_written_and_drawn(rho, shared_tmp_path, monkeypatch):
    monkeypatch.chdir(shared_tmp_path)
    assert rho.write("rho.pvd").is_file()
    picture = rho.plot("rho.png")
    COMM.Barrier()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not list(shared_tmp_path.glob(".fem-models-*"))
    with pytest.raises(fm.InputError, match=r"must end in \.pvd"):
        rho.write("rho.vtk")


@pytest.mark.parallel
def test_states_pack_into_an_order_that_does_not_depend_on_ranks(flow, rho):
    packed = flow.pack(rho)
    assert np.allclose(flow.unpack(packed).nodal, rho.nodal, rtol=1e-14)
    alone = fm.mesh("rectangle", cells=[12, 10], comm=MPI.COMM_SELF)
    other = fm.Flow(alone, fm.PowerLaw(2) + fm.Potential("2*r**2"))
    expected = other.pack(other.state("where(x > 0.4, 1, 0)", mass=1))["rho"]
    by_key = dict(zip(other.keys.tolist(), expected.tolist(), strict=True))
    assert len(by_key) == 143
    assert sorted(key for keys in COMM.allgather(flow.keys.tolist()) for key in keys) == sorted(by_key)
    found = [by_key[key] for key in flow.keys.tolist()]
    assert packed["rho"] == pytest.approx(found, rel=1e-13)


@pytest.mark.parallel
def test_species_follow_from_the_terms():
    interval = fm.mesh("interval", cells=8)
    energy = (
        fm.Boltzmann("u")
        + fm.Dirichlet("c")
        + fm.Quadratic(2.0, "c")
        + fm.Density(lambda f, x: -0.1 * f["u"] * f["c"], of=("u", "c"), name="coupling")
    )
    flow = fm.Flow(interval, energy)
    assert {s.name: s.metric for s in flow.discrete.species} == {"u": "wasserstein", "c": "l2"}
    ions = fm.Flow(interval, fm.Boltzmann("u") + fm.Electrostatic({"u": 1.0}, doping=-1.0))
    assert {s.name: s.metric for s in ions.discrete.species} == {"u": "wasserstein", "psi": "static"}
    named = fm.Flow(interval, fm.Quadratic(1.0, "c"), species={"c": "l2"})
    assert [s.metric for s in named.discrete.species] == ["l2"]


@pytest.mark.parallel
def test_a_minimising_movement_says_what_it_cost():
    # A Gaussian in |x|²: a JKO step of the linear Fokker–Planck equation is known in closed form.
    line = fm.mesh("interval", lower=-6, upper=6, cells=160)
    flow = fm.fokker_planck(line, potential="2*x**2")
    start = flow.state("exp(-x**2/2)", mass=1)
    step = fm.Jko(flow, slabs=4).step(start, tau=0.5)
    variance = step.state["rho"]
    second = COMM.allreduce(
        fem.assemble_scalar(fem.form(variance * ufl.SpatialCoordinate(line.mesh)[0] ** 2 * ufl.dx))
    )
    assert second == pytest.approx(0.36921, rel=5e-3)
    assert step.movement.excess < 0.0
    # W₂² of Gaussians about one centre is (σ - σ')².
    assert step.movement.distances["rho"] == pytest.approx(1 - math.sqrt(0.36921), rel=0.02)
    linear = fm.Ljko(flow).step(start, tau=0.5)
    assert linear.movement.distances["rho"] > 0.0
    with pytest.raises(fm.InputError, match="that is Ljko"):
        fm.Jko(flow, slabs=1)


@pytest.mark.parallel
def test_masses_stay_where_a_scheme_has_other_nodal_volumes():
    # In three dimensions JKO steps have shares of cells, and flows have Voronoi volumes.
    flow = fm.fokker_planck(fm.mesh("ball", h=0.45), m=2, potential="r**2")
    one, other = (flow.state(f"exp(-6*((x - {a})**2 + y**2 + z**2))", mass=1) for a in (-0.15, 0.15))
    assert fm.Ljko(flow).step(one, 0.01).state.masses()["rho"] == pytest.approx(1.0, rel=1e-12)
    # And so have distances, which are those of densities of mass 1, too.
    there, back = fm.wasserstein(one, other, slabs=2), fm.wasserstein(other, one, slabs=2)
    assert there.discrete.mass == pytest.approx(1.0, rel=1e-12)
    assert there.distance == pytest.approx(back.distance, rel=1e-6)


@pytest.mark.parallel
def test_distances_are_those_of_the_species_that_is_named():
    line = fm.mesh("interval", cells=80)
    flow = fm.Flow(line, fm.Boltzmann("u") + fm.Boltzmann("v", name="other"))
    hill = "exp(-200*(x - {})**2)"
    one = flow.state({"u": hill.format(0.5), "v": hill.format(0.3)}, mass={"u": 1, "v": 1})
    other = flow.state({"u": hill.format(0.5), "v": hill.format(0.7)}, mass={"u": 1, "v": 1})
    assert fm.wasserstein(one, other, species="u").distance == pytest.approx(0.0, abs=1e-9)
    # A translation by .4, and the error is of second order in 1/S.
    assert fm.wasserstein(one, other, slabs=8, species="v").distance == pytest.approx(0.4, rel=2e-2)


@pytest.mark.parallel
def test_a_scheme_goes_on_from_what_it_remembers(flow, rho):
    first, second = (fm.Bdf2().on(flow) for _ in range(2))
    state = first.step(rho, 0.01).state
    second.restore(first.memory())
    same(first.step(state, 0.02).state.nodal, second.step(state, 0.02).state.nodal)
    assert first.title == "BDF2"
    assert "falling" not in first.promises


@pytest.mark.parallel
def test_a_steady_state_has_the_masses_of_a_state(flow, rho):
    steady = flow.steady_state(rho)
    assert steady.masses() == {"rho": pytest.approx(1.0)}
    # 2ρ + V = λ on the support: the potential δE/δρ is even there.
    values = flow.discrete.potentials(steady.nodal)[: flow.discrete.owned, 0][steady.array[:, 0] > 0.0]
    ends = (
        COMM.allreduce(values.min(initial=math.inf), op=MPI.MIN),
        COMM.allreduce(values.max(initial=-math.inf), op=MPI.MAX),
    )
    assert ends[1] - ends[0] < 1e-9
    assert np.allclose(flow.steady_state(1.0).nodal, steady.nodal)
    assert np.allclose(flow.steady_state({"rho": 1.0}).nodal, steady.nodal)


WRONG_STEPS = {
    "an array": (
        lambda flow, rho: fm.BackwardEuler(flow).step(rho.array, 0.1),
        "begins at a state of the flow.*not an ndarray",
    ),
    "a step": (
        lambda flow, rho: fm.BackwardEuler(flow).step(fm.BackwardEuler(flow).step(rho, 0.1), 0.1),
        r"begins at a state .*a step has its state in \.state",
    ),
    "another flow": (
        lambda flow, rho: fm.BackwardEuler(flow).step(fm.Flow(flow.mesh, fm.PowerLaw(3)).state(1.0), 0.1),
        "begins at a state of the flow that the scheme is for, not of another",
    ),
    "no flow": (lambda flow, rho: fm.BackwardEuler().step(rho, 0.1), r"write BackwardEuler\(flow\)"),
    "a flux for a flow": (
        lambda flow, rho: fm.BackwardEuler("average"),
        r"flow must be a flow, as in BackwardEuler\(flow\)",
    ),
    "a step of zero": (
        lambda flow, rho: fm.BackwardEuler(flow).step(rho, 0.0),
        "step must be a positive finite number",
    ),
    "an unknown flux": (
        lambda flow, rho: fm.BackwardEuler(flow, flux="mean").step(rho, 0.1),
        "flux must be one of",
    ),
    "a step of no size": (
        lambda flow, rho: next(fm.evolve(flow, rho, fm.Bdf2(), step=0, until=1)),
        "step must be a positive finite number",
    ),
    "an end before": (
        lambda flow, rho: next(fm.evolve(flow, rho, fm.Bdf2(), step=1, until=0)),
        "until = 0 must be after",
    ),
    "a time outside": (
        lambda flow, rho: next(fm.evolve(flow, rho, fm.Bdf2(), step=1, until=2, at=[3])),
        "at has the time 3, which is not after 0.0 and at most 2",
    ),
    "an array to begin with": (
        lambda flow, rho: next(fm.evolve(flow, rho.array, fm.Bdf2(), step=1, until=2)),
        "begins at a state of the flow, from flow.state",
    ),
    "a scheme by its name": (
        lambda flow, rho: next(fm.evolve(flow, rho, "bdf2", step=1, until=2)),
        r"scheme must be what takes steps, as fm\.Bdf2\(\), not 'bdf2'",
    ),
    "the class of a scheme": (
        lambda flow, rho: next(fm.evolve(flow, rho, fm.Bdf2, step=1, until=2)),
        r"scheme must be what takes steps: write Bdf2\(\), not the class Bdf2",
    ),
    "a text as a step": (
        lambda flow, rho: next(fm.evolve(flow, rho, fm.Bdf2(), step="0.1", until=2)),
        "step must be a positive finite number, not '0.1'",
    ),
    "a text as an end": (
        lambda flow, rho: next(fm.evolve(flow, rho, fm.Bdf2(), step=0.1, until="2")),
        "until must be a finite number, not '2'",
    ),
    "a negative tolerance": (lambda flow, rho: fm.Bdf2(tolerance=-1), "tolerance must be a positive finite"),
    "a text as a tolerance": (lambda flow, rho: fm.Jko(tolerance="a"), "tolerance must be .*, not 'a'"),
    "no iterations": (lambda flow, rho: fm.Bdf2(max_iterations=0), "max_iterations must be .* at least 1"),
    "an unknown solver": (
        lambda flow, rho: fm.Bdf2(linear="direkt"),
        "linear must be one of auto, direct, krylov, not 'direkt'; did you mean direct",
    ),
    "a text as options": (lambda flow, rho: fm.Bdf2(petsc="ksp_type"), "petsc must be options by name"),
    "a misspelt flux": (
        lambda flow, rho: fm.Bdf2(flux="averge"),
        "flux must be one of upwind, average, not 'averge'; did you mean average",
    ),
    "slabs below zero": (lambda flow, rho: fm.Jko(slabs=-1), "slabs must be a whole number of at least 1"),
    "slabs by text": (lambda flow, rho: fm.JkoBdf2(slabs="2"), "slabs must be a whole number"),
    "no mass": (lambda flow, rho: flow.steady_state(None), "The mass of rho in a steady state must be a pos"),
    "no flow to evolve": (
        lambda flow, rho: next(fm.evolve(flow.mesh, rho, fm.Bdf2(), step=1, until=2)),
        "Bdf2 takes steps of flows, not of a Mesh",
    ),
}


@pytest.mark.parametrize("case", WRONG_STEPS)
def test_wrong_steps_are_refused(flow, rho, case):
    wrong, words = WRONG_STEPS[case]
    with pytest.raises(fm.InputError, match=words):
        wrong(flow, rho)


def scalar(mesh, x):
    return ufl.sin(x[0])


def there(domain="interval"):
    return fm.Flow(fm.mesh(domain, h=0.5), fm.PowerLaw(2)).state(1.0)


def elsewhere(domain="interval"):
    return 1.0 + ufl.SpatialCoordinate(there(domain).flow.mesh)[0] ** 2


WRONG_FLOWS = {
    "no mesh": lambda m: fm.Flow(None, fm.PowerLaw(2)),
    "a list of terms": lambda m: fm.Flow(m, [fm.PowerLaw(2)]),
    "text for an exponent": lambda m: fm.Flow(m, fm.PowerLaw("2")),
    "NumPy in an energy": lambda m: fm.Flow(m, fm.Potential(lambda x: np.sin(x[0]))),
    "a species that is not its own": lambda m: fm.Flow(
        m, fm.Boltzmann("u") + fm.Density(lambda f, x: f["v"] ** 2, of="u")
    ),
    "a metric that is none": lambda m: fm.Flow(m, fm.Quadratic(1.0, "c"), species={"c": "L2"}),
    "values in two columns": lambda m: fm.Flow(m, fm.PowerLaw(2)).state(np.ones((7, 2))),
    "a number as species": lambda m: fm.Flow(m, fm.PowerLaw(2), species=3),
    "a potential with a pole": lambda m: fm.Flow(m, fm.Boltzmann() + fm.Potential("log(x)")).state(1.0),
    "UFL of another mesh": lambda m: fm.Flow(m, fm.PowerLaw(2)).state(elsewhere()),
    "UFL of another dimension": lambda m: fm.Flow(m, fm.PowerLaw(2)).state(elsewhere("rectangle")),
    "a function of a mesh that does not reach": lambda m: fm.Flow(
        fm.mesh("interval", upper=2, cells=6), fm.PowerLaw(2)
    ).state(fm.Flow(m, fm.PowerLaw(2)).state(1.0)["rho"]),
    "a potential of another mesh": lambda m: fm.Flow(m, fm.Boltzmann() + fm.Potential(elsewhere())),
    "another species": lambda m: fm.Flow(m, fm.PowerLaw(2)).state({"u": 1.0}),
    "a state of a state": lambda m: fm.Flow(m, fm.PowerLaw(2)).state(fm.Flow(m, fm.PowerLaw(2)).state(1.0)),
    "a mass of zero": lambda m: fm.Flow(m, fm.PowerLaw(2)).state(1.0, mass=0),
    "not a number": lambda m: fm.Flow(m, fm.PowerLaw(2)).state("sqrt(x - 2)"),
    "an unknown name": lambda m: fm.Flow(m, fm.PowerLaw(2)).state("w"),
    "text that is no mass": lambda m: fm.Flow(m, fm.PowerLaw(2)).state(1.0, mass="1"),
    "an unknown domain": lambda m: fm.mesh("disc"),
    "a file that is not there": lambda m: fm.mesh("nowhere.msh"),
    "a radius of a rectangle": lambda m: fm.mesh("rectangle", radius=1),
    "cells of a file": lambda m: fm.mesh("nowhere.msh", cells=3),
    "a number for a mesh": lambda m: fm.mesh(3),
}


@pytest.mark.parametrize("case", WRONG_FLOWS)
def test_wrong_flows_get_one_sentence(case):
    with pytest.raises(fm.InputError) as caught:
        WRONG_FLOWS[case](fm.mesh("interval", cells=6))
    text = str(caught.value)
    assert text.endswith((".", "?"))
    assert "\n" not in text


def test_quadrilaterals_are_refused():
    from dolfinx.mesh import CellType, create_unit_square

    with pytest.raises(fm.InputError, match=r"simplices|triangles"):
        fm.Flow(create_unit_square(COMM, 3, 3, CellType.quadrilateral), fm.PowerLaw(2))


@pytest.mark.parallel
def test_the_array_of_a_state_makes_the_state_again(flow, rho):
    same(flow.state(rho.array).nodal, rho.nodal)
    both = fm.Flow(flow.mesh, fm.Boltzmann("u") + fm.PowerLaw(2, "v"), species=("u", "v"))
    state = both.state({"u": "1 + x", "v": "2 - x"})
    same(both.state(state.array).nodal, state.nodal)
    with pytest.raises(fm.InputError, match=r"initial as an array must have the shape \(\d+, 1\)"):
        flow.state(rho.array[:-1] if COMM.rank == 0 else rho.array)


@pytest.mark.parallel
def test_pictures_have_a_name_that_says_what_they_are(rho, shared_tmp_path):
    with pytest.raises(fm.InputError, match=r"must end in \.png, \.pdf, \.svg, not 'rho\.jpg'"):
        rho.plot(shared_tmp_path / "rho.jpg")
    with pytest.raises(fm.InputError, match="there is no directory"):
        rho.plot(shared_tmp_path / "nowhere" / "rho.png")


def test_functions_may_be_numpy_ufl_or_text(flow):
    states = [
        flow.state(initial)
        for initial in (
            lambda x: 1 + x[0],
            lambda x: 1.0 + ufl.sin(0.0) + x[0],
            "1 + x",
            1.0 + ufl.SpatialCoordinate(flow.mesh)[0],
        )
    ]
    for state in states[1:]:
        assert np.allclose(state.nodal, states[0].nodal, rtol=1e-13)
    assert np.allclose(flow.state(states[0]["rho"]).nodal, states[0].nodal)

"""Densities from elsewhere: every bit on the same nodes, O(h²) on others, and the mass to rounding."""

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.mesh import create_unit_cube, create_unit_interval, create_unit_square
from mpi4py import MPI

import fem_models as fm
from fem_models.config.io import from_dict
from fem_models.results.fields import WrittenFields
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD
DOMAINS = {
    "interval": {"cells": [15]},
    "disk": {"h": 0.3},
    "box": {"cells": [3, 4, 2]},
}


def tables(domain, **changes):
    return {
        "mesh": {"domain": domain, **DOMAINS[domain]},
        "system": {"name": "fokker-planck", "m": 2, "potential": "x"},
        "initial": {"rho": "where(x > 0.3, 1 + x, 0)", "mass": 1},
        "time": {"end": 0.02, "step": 0.01},
        "output": {"figures": False, "steady": False},
    } | changes


def by_number(model, values):
    """The values of all ranks in an order that does not depend on them."""
    owned = values[: len(model.keys)]
    keys, rows = (np.concatenate(model.comm.allgather(part)) for part in (model.keys, owned))
    return rows[np.argsort(keys)]


def flow_on(mesh):
    return fm.Flow(mesh, fm.PowerLaw(2), "rho")


@pytest.mark.parallel
@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_nodes_keep_every_bit_on_any_number_of_ranks(domain, shared_tmp_path):
    config = from_dict(tables(domain))
    stop = run(config, shared_tmp_path / "all", comm=COMM).runs[0].stop
    if COMM.rank == 0:
        run(config, shared_tmp_path / "one", comm=MPI.COMM_SELF)
    COMM.Barrier()
    flows = [flow_on(fm.mesh(domain, **DOMAINS[domain], comm=comm)) for comm in (COMM, MPI.COMM_SELF)]
    expected = by_number(flows[0], stop.state)
    for flow in flows:
        state = flow.state(fm.from_file(shared_tmp_path / "all"))
        np.testing.assert_array_equal(by_number(flow, state.array), expected)
    # What other ranks have computed differs in its last digits, and comes to all ranks as it is.
    one, many = (by_number(f, f.state(fm.from_file(shared_tmp_path / "one")).array) for f in flows)
    np.testing.assert_array_equal(one, many)
    np.testing.assert_allclose(one, expected, rtol=1e-9, atol=1e-12)
    COMM.Barrier()


def test_log_densities_of_second_order_keep_every_bit(tmp_path):
    start = tables(
        "disk",
        system={"name": "fokker-planck"},
        initial={"rho": "1 + x**2", "mass": 1},
        time={"end": 0.02, "step": 0.01, "discretization": "log-density", "degree": 2},
    )
    first = run(from_dict(start), tmp_path / "first", comm=MPI.COMM_SELF).runs[0]
    start["initial"] = {"from": str(tmp_path / "first")}
    second = run(from_dict(start), tmp_path / "second", comm=MPI.COMM_SELF).runs[0]
    assert second.summary["energy"]["initial"] == first.summary["energy"]["final"]
    assert "rho is from" in (tmp_path / "second" / "log.txt").read_text()
    assert "on the same nodes" in (tmp_path / "second" / "log.txt").read_text()


@pytest.mark.parallel
def test_the_mass_is_kept_on_the_same_nodes_with_other_nodal_volumes(shared_tmp_path):
    start = tables("box", mesh={"domain": "box", "h": 0.4}, initial={"rho": "1 + x*y", "mass": 1})
    run(from_dict(start), shared_tmp_path / "first", comm=COMM)
    for scheme, change in (("bdf2", "on the same nodes\n"), ("jko", "on the same nodes, and scaled by")):
        start["initial"] = {"from": str(shared_tmp_path / "first")}
        start["time"] = {"end": 0.01, "step": 0.01, "scheme": scheme}
        outcome = run(from_dict(start), shared_tmp_path / scheme, comm=COMM).runs[0]
        mass = outcome.summary["species"]["rho"]["mass_initial"]
        assert mass == pytest.approx(1.0, rel=1e-14, abs=0.0)
        assert change in (shared_tmp_path / scheme / "log.txt").read_text()
    COMM.Barrier()


def smooth(x):
    return 1.5 + np.cos(2.0 * x[0]) * np.sum(np.sin(1.0 + x), axis=0) / len(x)


MESHES = {
    1: lambda n: fm.mesh("interval", cells=int(n)),
    2: lambda n: fm.mesh("rectangle", h=1.0 / n),
    3: lambda n: fm.mesh("box", cells=[int(n)] * 3),
}
SIZES = {1: (20, 80), 2: (8, 32), 3: (4, 12)}


@pytest.mark.parallel
@pytest.mark.parametrize("way", ["function", "file", "snapshot"])
@pytest.mark.parametrize("dim", MESHES)
def test_other_meshes_have_errors_of_second_order_and_the_same_mass(dim, way, shared_tmp_path):
    errors = []
    for n in SIZES[dim]:
        there = flow_on(MESHES[dim](n)).state(smooth)
        if way == "function":
            given = {"rho": there["rho"]}
        else:
            path = there.write(shared_tmp_path / f"{n}.pvd")
            COMM.Barrier()
            given = fm.from_file(path)
            if way == "snapshot":
                given = WrittenFields(path, ["rho"]).last
        rho = there["rho"]
        mass = COMM.allreduce(fem.assemble_scalar(fem.form(rho * ufl.dx)))
        here = flow_on(MESHES[dim](0.83 * n)).state(given)
        assert here.masses()["rho"] == pytest.approx(mass, rel=1e-14, abs=0.0)
        gap = np.sum((here.array[:, 0] - smooth(here.points.T)) ** 2)
        nodes = COMM.allreduce(len(here.points))
        errors.append(np.sqrt(COMM.allreduce(gap) / nodes))
    coarse, fine = SIZES[dim]
    assert 1.75 < np.log(errors[0] / errors[1]) / np.log(fine / coarse) < 2.4
    assert errors[1] < {1: 1e-4, 2: 4e-4, 3: 5e-3}[dim]


@pytest.mark.parallel
def test_vacuum_stays_zero_and_nothing_is_negative(shared_tmp_path):
    there = flow_on(fm.mesh("disk", h=0.2)).state("where(x > 0.2, exp(3*x), 0)")
    path = there.write(shared_tmp_path / "rho.pvd")
    here = flow_on(fm.mesh("disk", h=0.13)).state(fm.from_file(path))
    assert here.minima()["rho"] == 0.0
    empty = here.points[:, 0] < 0.2 - 0.25
    assert COMM.allreduce(int(empty.sum())) > 100
    assert (here.array[empty] == 0.0).all()
    assert here.masses()["rho"] == pytest.approx(there.masses()["rho"], rel=1e-14, abs=0.0)
    COMM.Barrier()


@pytest.mark.parallel
def test_nodes_out_of_reach_are_counted(shared_tmp_path):
    there = flow_on(fm.mesh("interval", cells=10)).state("1 + x")
    wide = flow_on(fm.mesh("interval", lower=-0.5, upper=1.0, cells=15))
    for given in ({"rho": there["rho"]}, fm.from_file(there.write(shared_tmp_path / "rho.pvd"))):
        with pytest.raises(fm.InputError, match=r"does not reach 5 of the nodes .* example \(-0.5\)"):
            wide.state(given)
    COMM.Barrier()


@pytest.mark.parallel
def test_a_mesh_that_covers_a_part_is_told_of():
    there = flow_on(fm.mesh("interval", cells=10)).state(2.0)
    half = flow_on(fm.mesh("interval", upper=0.5, cells=10))
    told = pytest.warns(UserWarning, match="has the mass 1 on this mesh, and its source a function has 2")
    if COMM.rank == 0:
        with told:
            state = half.state({"rho": there["rho"]})
    else:
        state = half.state({"rho": there["rho"]})
    assert state.masses()["rho"] == pytest.approx(2.0, rel=1e-14, abs=0.0)
    # A mass that is given is the mass, whatever the source has.
    assert half.state({"rho": there["rho"]}, mass=0.25).masses()["rho"] == pytest.approx(
        0.25, rel=1e-14, abs=0.0
    )


@pytest.mark.parallel
def test_functions_of_any_scalar_element_on_meshes_of_dolfinx():
    target = flow_on(fm.mesh("rectangle", cells=[5, 5]))
    mesh = create_unit_square(COMM, 7, 6)
    quadratic = fem.Function(fem.functionspace(mesh, ("Lagrange", 2)))
    quadratic.interpolate(lambda x: 1.0 + x[0] * x[1])
    state = target.state(quadratic)
    assert state.masses()["rho"] == pytest.approx(1.25, rel=1e-13, abs=0.0)
    vector = fem.Function(fem.functionspace(mesh, ("Lagrange", 1, (2,))))
    with pytest.raises(fm.InputError, match="must be scalar"):
        target.state(vector)
    for other, create in ((1, create_unit_interval), (3, create_unit_cube)):
        line = fem.Function(fem.functionspace(create(COMM, *[3] * other), ("Lagrange", 1)))
        with pytest.raises(fm.InputError, match=f"dimension {other}, and the mesh has dimension 2"):
            target.state({"rho": line})


def test_several_fields_by_name_and_only_densities_are_scaled(tmp_path):
    flow = fm.chemotaxis(fm.mesh("rectangle", cells=[6, 6]), epsilon=0.1)
    there = flow.state({"rho": "1 + x", "c": "y"})
    finer = fm.chemotaxis(fm.mesh("rectangle", h=0.1), epsilon=0.1)
    here = finer.state(fm.from_file(there.write(tmp_path / "both.pvd")))
    assert here.masses()["rho"] == pytest.approx(1.5, rel=1e-14, abs=0.0)
    np.testing.assert_allclose(here.array[:, 1], here.points[:, 1], atol=1e-14)
    assert here.energy() == pytest.approx(there.energy(), rel=1e-2)

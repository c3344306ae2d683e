"""Perturbations as functions over time: against the solver, as files, and bad input."""

import numpy as np
import pytest
import pyvista
import ufl
from linearised_problems import SOURCES, STABLE, C, built, start
from references import COMM, mesh_of

from fem_models.core.errors import InputError
from fem_models.linearised_jko.loads import LoadAssembly, Sources
from fem_models.linearised_jko.perturbation import Linearisation, perturbation
from fem_models.linearised_jko.solver import LinearisedSettings, LinearisedSolver

from dolfinx import fem  # isort: skip

MESHES = {"interval": {"cells": 6}, "rectangle": {"cells": (3, 3)}, "box": {"cells": (2, 2, 2)}}
each_pair = pytest.mark.parametrize("pair", STABLE)


@pytest.mark.parallel
@each_pair
@pytest.mark.parametrize("slabs", [1, 3])
def test_functions_by_time_are_those_of_the_solver(slabs, pair):
    problem = built(mesh_of("rectangle", h=0.4), pair, 0.6, slabs, C=C)
    found = perturbation(problem, start, SOURCES)
    expected = LinearisedSolver(problem).solve(LoadAssembly(problem, SOURCES)(start))
    assert list(found.densities) == pytest.approx(np.linspace(0.0, 0.6, slabs + 1))
    middles = 0.6 * (np.arange(slabs) + 0.5) / slabs
    assert list(found.fluxes) == list(found.multipliers) == pytest.approx(middles)
    for functions, others in (
        (found.densities, expected.minimiser.h),
        (found.fluxes, expected.minimiser.g),
        (found.multipliers, expected.minimiser.f),
    ):
        for function, other in zip(functions.values(), others, strict=True):
            np.testing.assert_allclose(function.x.array, other.x.array, atol=1e-9)
    assert found.value == pytest.approx(expected.minimiser.value, rel=1e-9)
    assert (found.iterations, found.direct, found.report) == (expected.iterations, False, "")
    assert found.end_multiplier.name == "p"


@pytest.mark.parallel
def test_what_h0_may_be():
    # A number, UFL and functions of x are the same, and the problem is linear.
    problem = built(mesh_of("interval", cells=8), "P1-DG0")
    linearisation = Linearisation(problem, settings=LinearisedSettings(petsc={"ksp_rtol": 1e-12}))
    x = ufl.SpatialCoordinate(problem.spaces.mesh)
    constant = fem.Function(problem.spaces.potentials)
    constant.x.array[:] = 0.5
    ends = []
    for h0 in (0.5, constant, 0.5 + 0.0 * x[0], lambda x: 0.5):
        ends.append(list(linearisation.solve(h0).densities.values())[-1].x.array)
        np.testing.assert_allclose(ends[-1], ends[0], atol=1e-10)
    double = list(linearisation.solve(1.0).densities.values())[-1].x.array
    none = list(linearisation.solve().densities.values())[-1].x.array
    np.testing.assert_allclose(double - none, 2.0 * (ends[0] - none), atol=1e-9)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("domain", "pair"),
    [
        *(("rectangle", pair) for pair in STABLE),
        ("interval", "P1-DG0"),
        ("box", "P1-DG0"),
        ("box", "DG0-RT1"),
    ],
)
def test_files_hold_what_the_functions_are(domain, pair, shared_tmp_path):
    mesh = mesh_of(domain, **MESHES[domain])
    found = perturbation(built(mesh, pair, 0.4, 2, C=C), start)
    path = shared_tmp_path / "perturbation.pvd"
    found.write(path)
    reader = pyvista.PVDReader(path)
    assert reader.time_values == pytest.approx([0.0, 0.1, 0.3, 0.4])
    h = list(found.densities.values())
    mean = h[0].copy()
    mean.x.array[:] = 0.5 * (h[0].x.array + h[1].x.array)
    cases = {
        0.0: (h[0], *_first(found)),
        0.1: (mean, *_first(found)),
        0.4: (h[-1], found.end_multiplier, list(found.fluxes.values())[-1]),
    }
    for time, (density, multiplier, flux) in cases.items():
        reader.set_active_time_value(time)
        [grid] = reader.read()
        for name, function in (("h", density), ("f", multiplier), ("g", flux)):
            _compare(grid, name, function)


def _first(found):
    return next(iter(found.multipliers.values())), next(iter(found.fluxes.values()))


def _compare(grid, name, function):
    """Compare an integral over the cells of the file with that of the function, component by component."""
    mesh = function.function_space.mesh
    parts = [function] if not function.ufl_shape else [function[i] for i in range(function.ufl_shape[0])]
    sizes = grid.compute_cell_sizes()
    volumes = np.abs(sizes["Volume"] + sizes["Area"] + sizes["Length"])
    ours = grid.cell_data["vtkGhostType"] == 0 if "vtkGhostType" in grid.cell_data else slice(None)
    if name in grid.cell_data:
        values = np.asarray(grid.cell_data[name])
    else:
        # The mean over the corners is that of an affine function: of P2, compare values at corners.
        corners = [cell.point_ids[: mesh.topology.dim + 1] for cell in grid.cell]
        values = np.asarray(grid.point_data[name])[corners].mean(axis=1)
    values = values.reshape(len(volumes), -1)
    rule = {"quadrature_rule": "vertex", "quadrature_degree": 1}
    constant = fem.functionspace(mesh, ("DG", 0))
    for i, part in enumerate(parts):
        form = fem.form(part * ufl.TestFunction(constant) * ufl.dx(metadata=rule))
        local = fem.assemble_vector(form).array[: constant.dofmap.index_map.size_local]
        expected = COMM.allreduce(local.sum()), COMM.allreduce((local**2).sum())
        weighted = (values[:, i] * volumes)[ours]
        scale = 1e-6 * np.abs(weighted).sum() + 1e-12
        assert weighted.sum() == pytest.approx(expected[0], abs=scale)
        assert (weighted**2).sum() == pytest.approx(expected[1], rel=1e-5, abs=scale**2)


REFUSED_H0 = {
    "numpy": (lambda x: np.cos(x[0]), r"h0 is a function with NumPy functions, .* ufl.sin\(x\[0\]\)"),
    "text": ("1 + q", "h0.*q"),
    "vector": (lambda x: ufl.grad(x[0] ** 2), r"h0 must be a scalar, but it has the shape \(1,\)"),
    "two arguments": (lambda x, s: x[0], "h0 cannot be evaluated: TypeError.*argument"),
    "infinite": (lambda x: ufl.ln(x[0] - 0.5), "h0 must be finite"),
    "nan": (float("nan"), "h0 must be finite"),
    "another mesh": (
        lambda x: fem.Function(fem.functionspace(mesh_of("interval", cells=7), ("Lagrange", 1))),
        "h0 has functions of another mesh",
    ),
}


@pytest.mark.parallel
@pytest.mark.parametrize("case", REFUSED_H0)
def test_other_perturbations_are_refused(case):
    h0, message = REFUSED_H0[case]
    linearisation = Linearisation(built(mesh_of("interval", cells=6), "P1-DG0"))
    with pytest.raises(InputError, match=message):
        linearisation.solve(h0)


def test_other_problems_and_sources_are_refused():
    with pytest.raises(InputError, match="problem must be a LinearisedJko, not Mesh"):
        perturbation(mesh_of("interval", cells=6), 1.0)
    problem = built(mesh_of("interval", cells=6), "P1-DG0")
    for sources, message in (
        (Sources(flux=lambda x, s: x[0]), "source flux must be a vector of 1 components"),
        (Sources(end=lambda x: x[0]), r"source end must be a function .*\(x, s\).* a scalar"),
    ):
        with pytest.raises(InputError, match=message):
            perturbation(problem, 1.0, sources)


@pytest.mark.parallel
def test_other_paths_are_refused(shared_tmp_path):
    found = perturbation(built(mesh_of("interval", cells=6), "P1-DG0"), 1.0)
    with pytest.raises(InputError, match=r"must end in .pvd, not 'perturbation.vtu'"):
        found.write(shared_tmp_path / "perturbation.vtu")

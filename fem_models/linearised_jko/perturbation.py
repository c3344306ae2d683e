"""Perturbations of a JKO step: the linearised problem solved for an initial perturbation, as functions.

For a perturbation h₀ of the density at the beginning of a step, the flux g, the perturbation h and the
multiplier f solve (2.13) and (2.14) of Bruna, Burger and Carrillo, printed in `fem_models.linearised_jko`:

    linearisation = Linearisation(LinearisedJko(mesh, "P1-DG0", q, phi, duration=0.1, slabs=4))
    linearisation.solve(h0=lambda x: ufl.cos(ufl.pi * x[0])).write("perturbation.pvd")

Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dolfinx import fem

from fem_models.core.errors import InputError
from fem_models.expressions.functions import FunctionOfX
from fem_models.linearised_jko.loads import LoadAssembly, Sources
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.solver import LinearisedSettings, LinearisedSolver
from fem_models.meshes.pvd import Frame, write_pvd


@dataclass(frozen=True, eq=False)
class Perturbation:
    """What became of an initial perturbation. All numbers are dimensionless.

    Attributes:
        fluxes: g by time, at the middles of slabs.
        densities: h by time, at the ends of slabs: the first is (the L² projection of) h₀.
        multipliers: f by time, at the middles of slabs.
        end_multiplier: f at the end, -(E'' h + C q).
        value: ½∫∫|g|²/q + ½∫E'' h(Δt)² + C∫h(Δt) q, (2.13), less the work of sources if there are any.
        iterations: Of the conjugate gradients.
        preconditioner: "plain" or "follow".
        direct: Whether MUMPS found it, since the conjugate gradients did not.
        report: In that case a sentence that says so, and why; else empty.
    """

    fluxes: Mapping[float, fem.Function]
    densities: Mapping[float, fem.Function]
    multipliers: Mapping[float, fem.Function]
    end_multiplier: fem.Function
    value: float
    iterations: int
    preconditioner: str
    direct: bool = False
    report: str = ""

    def write(self, path: Path | str) -> None:
        """Write g, h and f over time. Collective.

        Times are the beginning, the middles of slabs and the end. In the middle of a slab h is the mean of
        those at its ends; at the beginning g and f, and at the end g, are those of the nearest slab.
        Functions that a .pvd file cannot hold are interpolated in discontinuous elements that have them too.

        Args:
            path: Of the .pvd file; its pieces are written next to it.

        Raises:
            InputError: A path that does not end in .pvd, or one in a directory that does not exist.
        """
        write_pvd(self.end_multiplier.function_space.mesh.comm, path, self._frames())

    def _frames(self) -> Iterator[Frame]:
        g, h, f = (list(found.values()) for found in (self.fluxes, self.densities, self.multipliers))
        times = list(self.densities)
        drawn = _Drawn(g[0].function_space, h[0].function_space)
        yield times[0], drawn(g[0], h[0], f[0])
        middle = fem.Function(h[0].function_space)
        for k, time in enumerate(self.fluxes):
            middle.x.array[:] = 0.5 * (h[k].x.array + h[k + 1].x.array)
            yield time, drawn(g[k], middle, f[k])
        yield times[-1], drawn(g[-1], h[-1], self.end_multiplier)


class _Drawn:
    """The functions of a time in elements that a .pvd file holds: P1, constants on cells, or DG_k for all.

    Args:
        fluxes: The space of g.
        potentials: The space of h and f.
    """

    def __init__(self, fluxes: fem.FunctionSpace, potentials: fem.FunctionSpace) -> None:
        spaces = {"g": fluxes, "h": potentials, "f": potentials}
        at_points = [space for space in (potentials, fluxes) if not _constant(space)]
        degree = max(space.ufl_element().embedded_superdegree for space in at_points)
        nodal = degree == 1 and all(space is potentials for space in at_points)
        if not nodal:
            mesh = potentials.mesh
            for name in [name for name, space in spaces.items() if not _constant(space)]:
                shape = (mesh.geometry.dim,) if name == "g" else ()
                spaces[name] = fem.functionspace(mesh, ("DG", degree, shape))
        self._functions = {name: fem.Function(space, name=name) for name, space in spaces.items()}

    def __call__(self, g: fem.Function, h: fem.Function, f: fem.Function) -> list[fem.Function]:
        """These functions, interpolated."""
        for found, given in zip(self._functions.values(), (g, h, f), strict=True):
            found.interpolate(given)
            found.x.scatter_forward()
        return list(self._functions.values())


def _constant(space: fem.FunctionSpace) -> bool:
    """Whether functions are constant on cells."""
    return space.ufl_element().embedded_superdegree == 0


class Linearisation:
    """A linearised JKO problem with a solver, for any number of initial perturbations. Collective.

    Args:
        problem: The linearised problem.
        sources: Sources in its equations; none by default.
        settings: How to solve it.

    Attributes:
        problem: The same.

    Raises:
        InputError: No such problem, sources that are no functions of x and s, or options that PETSc refuses.
    """

    def __init__(
        self,
        problem: LinearisedJko,
        sources: Sources | None = None,
        settings: LinearisedSettings | None = None,
    ) -> None:
        if not isinstance(problem, LinearisedJko):
            raise InputError(f"The problem must be a LinearisedJko, not {type(problem).__name__}.")
        self.problem = problem
        self._loads = LoadAssembly(problem, sources)
        self._solver = LinearisedSolver(problem, settings)

    def solve(self, h0: FunctionOfX = 0.0) -> Perturbation:
        """What becomes of a perturbation.

        Args:
            h0: The perturbation at the beginning: a number, a UFL scalar (such as a DOLFINx function), text
                such as "1 + sin(x)", or a function of the coordinates x that gives UFL.

        Returns:
            Fluxes, perturbations and multipliers by time.

        Raises:
            InputError: h0 is none of these, has functions of another mesh, or is not finite.
            SolveError: The conjugate gradients failed, and MUMPS as well.
        """
        found = self._solver.solve(self._loads(h0))
        minimiser, slabs = found.minimiser, self.problem.data.slabs
        middles = [slabs.time(k) for k in range(slabs.count)]
        ends = [k * slabs.delta for k in range(slabs.count)] + [slabs.duration]
        return Perturbation(
            dict(zip(middles, minimiser.g, strict=True)),
            dict(zip(ends, minimiser.h, strict=True)),
            dict(zip(middles, minimiser.f, strict=True)),
            minimiser.p,
            minimiser.value,
            found.iterations,
            found.preconditioner,
            found.direct,
            found.report,
        )


def perturbation(
    problem: LinearisedJko,
    h0: FunctionOfX = 0.0,
    sources: Sources | None = None,
    settings: LinearisedSettings | None = None,
) -> Perturbation:
    """What becomes of one perturbation; for several, build a `Linearisation` once. Collective.

    Args:
        problem: The linearised problem.
        h0: The perturbation at the beginning, as for `Linearisation.solve`.
        sources: Sources in its equations; none by default.
        settings: How to solve it.

    Returns:
        Fluxes, perturbations and multipliers by time.

    Raises:
        InputError: As for `Linearisation` and its method `solve`.
        SolveError: The conjugate gradients failed, and MUMPS as well.
    """
    return Linearisation(problem, sources, settings).solve(h0)

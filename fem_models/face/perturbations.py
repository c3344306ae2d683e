"""The linearised JKO problem, (2.12)–(2.14) of Bruna, Burger and Carrillo, as users state it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dolfinx.mesh import Mesh
from ufl.core.expr import Expr

from fem_models.core.parallel import on_rank_zero
from fem_models.energies import Energy, Term
from fem_models.expressions import Expression, FunctionOfX
from fem_models.expressions.functions import COORDINATES
from fem_models.face.pictures import scratch_file
from fem_models.linalg.options import Option
from fem_models.linearised_jko.perturbation import Linearisation
from fem_models.linearised_jko.perturbation import Perturbation as DiscretePerturbation
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.solver import LinearisedSettings
from fem_models.linearised_jko.terminal_costs import TerminalCost
from fem_models.meshes.marks import MarkedMesh

InTime = float | str | Expr | Callable[[Any, Any], Any] | Sequence[Any]
"""A number; text in x, y, z, r and s; a UFL expression such as a DOLFINx function; a function of x and of the
time s, in UFL; or a list with one DOLFINx function for each slab."""


class Perturbation:
    """What became of a perturbation of the density at the beginning of a step. All numbers are dimensionless.

    Args:
        discrete: Fluxes g, perturbations h and multipliers f as DOLFINx functions, by time.
    """

    def __init__(self, discrete: DiscretePerturbation) -> None:
        self.discrete = discrete

    def __repr__(self) -> str:
        return f"Perturbation(value {self.value:.6g}, {self.iterations} iterations)"

    @property
    def fluxes(self) -> Mapping[float, Any]:
        """G by time, at the middles of slabs."""
        return self.discrete.fluxes

    @property
    def densities(self) -> Mapping[float, Any]:
        """H by time, at the ends of slabs, the first of which is the beginning."""
        return self.discrete.densities

    @property
    def multipliers(self) -> Mapping[float, Any]:
        """F by time, at the middles of slabs."""
        return self.discrete.multipliers

    @property
    def value(self) -> float:
        """The value of the functional, ∫∫|g|²/(2q) and the terminal cost."""
        return self.discrete.value

    @property
    def iterations(self) -> int:
        """Iterations of the conjugate gradients."""
        return self.discrete.iterations

    @property
    def report(self) -> str:
        """A sentence where the conjugate gradients failed and MUMPS took over; else empty."""
        return self.discrete.report

    def write(self, path: Path | str) -> Path:
        """Write g, h and f over time for ParaView and PyVista. Collective.

        Args:
            path: Of the .pvd file; its pieces are written next to it.

        Returns:
            The path.

        Raises:
            InputError: A path that does not end in .pvd, or one in a directory that does not exist.
        """
        self.discrete.write(path)
        return Path(path)

    def plot(self, path: Path | str) -> Path:
        """Draw h, f and |g| at some times. Collective; one rank draws.

        Args:
            path: Of the picture, a .png file.

        Returns:
            The path.

        Raises:
            InputError: The picture cannot be written.
        """
        comm = self.discrete.end_multiplier.function_space.mesh.comm
        with scratch_file(comm, "fields.pvd") as file:
            self.discrete.write(file)
            comm.Barrier()
            return on_rank_zero(comm, lambda: _draw(file, Path(path)))


def _draw(file: Path, path: Path) -> Path:
    from fem_models.plotting.perturbation import draw_perturbation  # here: it takes a while to import

    return draw_perturbation(file, path)


class LinearisedProblem:
    """A linearised JKO problem with its solver, for any number of perturbations. Collective.

    Args:
        linearisation: Its matrices and solver.
    """

    def __init__(self, linearisation: Linearisation) -> None:
        self.linearisation = linearisation

    def solve(self, h0: FunctionOfX = 0.0) -> Perturbation:
        """What becomes of a perturbation.

        Args:
            h0: The perturbation of the density at the beginning: a number, text such as "cos(pi*y)", a UFL
                scalar (such as a DOLFINx function), or a function of x in UFL.

        Returns:
            Fluxes, perturbations and multipliers by time.

        Raises:
            InputError: h0 is none of these, or is not finite.
            SolveError: The conjugate gradients failed, and MUMPS as well.
        """
        return Perturbation(self.linearisation.solve(h0))


def linearised(
    mesh: MarkedMesh | Mesh[Any],
    pair: str = "P1-DG0",
    *,
    q: InTime,
    phi: InTime,
    duration: float,
    slabs: int = 1,
    C: float | None = None,
    energy: Energy | Term | None = None,
    preconditioner: Literal["auto", "plain", "follow"] = "auto",
    petsc: Mapping[str, Option] | None = None,
) -> LinearisedProblem:
    """The linearised JKO problem around a density q and a potential φ. Collective.

    For a perturbation h₀ at the beginning of a step, the flux g and the perturbation h minimise

        ∫₀^Δt ∫ |g|²/(2q) + ½ (terminal cost of h at Δt)   under   ∂s h + div(h∇φ + g) = 0,  h = h₀ at s = 0,

    with the multiplier f: (2.12)–(2.14) of Bruna, Burger and Carrillo. Everything is dimensionless.

    Args:
        mesh: Of triangles, tetrahedra or intervals.
        pair: Elements for potentials and fluxes, "P1-DG0", "P2-DG1", "DG0-RT1" or "DG1-RT2".
        q: The density, positive: a number, text in x, y, z, r and s, or a function of x and s in UFL.
        phi: The potential, continuous: likewise.
        duration: Δt.
        slabs: S.
        C: The constant of the paper's terminal cost, which has C q where the second variation of the energy
            has C h; 1 by default where there is no energy.
        energy: An energy, whose second variation is the terminal cost.
        preconditioner: "plain", "follow", or "auto", which follows the flow where mass moves far.
        petsc: Options of PETSc by name, see `fem_models.linearised_jko.solver.LinearisedSettings`.

    Returns:
        The problem, to solve for perturbations.

    Raises:
        InputError: Names that are not known, data that are no functions, a φ with jumps, a q that is not
            positive, both of C and an energy, or options that PETSc refuses.
    """
    terminal: TerminalCost = "paper" if energy is None else "second-variation"
    constant = (1.0 if energy is None else 0.0) if C is None else C
    problem = LinearisedJko(
        mesh,
        pair,
        _in_time(q, "q"),
        _in_time(phi, "phi"),
        duration,
        slabs,
        terminal=terminal,
        C=constant,
        energy=energy,
    )
    return LinearisedProblem(Linearisation(problem, settings=LinearisedSettings(preconditioner, petsc or {})))


def _in_time(given: Any, what: str) -> Any:
    """A function of x and s in UFL."""
    if isinstance(given, str):
        expression = Expression(given, (*COORDINATES, "s"), where=what)
        return lambda x, s: expression.ufl(x, {"s": s})
    if isinstance(given, int | float | Expr):
        return lambda x, s: given
    return given

"""Wasserstein distances between densities, with the geodesics between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx.fem import Function

from fem_models.core.errors import InputError
from fem_models.core.parallel import on_rank_zero
from fem_models.face.pictures import scratch_pvd
from fem_models.face.state import State
from fem_models.jko.wasserstein import SLABS
from fem_models.jko.wasserstein import Geodesic as DiscreteGeodesic
from fem_models.jko.wasserstein import wasserstein as discrete_wasserstein
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import Option


class Geodesic:
    """The Wasserstein distance of two densities and the path between them. Everything is dimensionless.

    Args:
        discrete: Its nodal values.
        name: Of the density.
    """

    def __init__(self, discrete: DiscreteGeodesic, name: str) -> None:
        self.discrete, self.name = discrete, name

    def __repr__(self) -> str:
        slabs = self.discrete.potentials.shape[1]
        return f"Geodesic({self.name}; distance {self.distance:.6g}, {slabs} slabs)"

    @property
    def distance(self) -> float:
        """W₂, where W₂² = min ∫|x - T(x)|² ρ(x) dx is in proportion to the mass."""
        return self.discrete.distance

    @property
    def square(self) -> float:
        """W₂²."""
        return self.discrete.square

    @property
    def times(self) -> tuple[float, ...]:
        """The times s from 0 to 1 of the densities."""
        return self.discrete.times

    @property
    def iterations(self) -> int:
        """Iterations of Newton's method."""
        return self.discrete.iterations

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """Densities at the nodes of this rank, without ghosts, shape (owned nodes, times); a copy."""
        return self.discrete.densities[: self.discrete.space.dofmap.index_map.size_local].copy()

    def functions(self) -> dict[float, Function[Any]]:
        """The densities as new functions, by time."""
        return self.discrete.functions(self.name)

    def write(self, path: Path | str) -> Path:
        """Write the densities over s for ParaView and PyVista. Collective.

        Args:
            path: Of the .pvd file; its pieces are written next to it.

        Returns:
            The path.

        Raises:
            InputError: A path that does not end in .pvd, or one in a directory that does not exist.
        """
        self.discrete.write(path, self.name)
        return Path(path)

    def plot(self, path: Path | str) -> Path:
        """Draw the densities in a row. Collective; one rank draws.

        Args:
            path: Of the picture, a .png file.

        Returns:
            The path.

        Raises:
            InputError: The picture cannot be written.
        """
        comm = self.discrete.space.mesh.comm
        with scratch_pvd(comm, self.discrete.frames(self.name)) as file:
            return on_rank_zero(comm, lambda: _draw(file, self.name, self.distance, Path(path)))


def _draw(file: Path, name: str, distance: float, path: Path) -> Path:
    from fem_models.plotting.geodesic import draw_geodesic  # here: it takes a while to import

    return draw_geodesic(file, name, distance, path)


def wasserstein(
    first: State | Function[Any],
    second: State | Function[Any],
    slabs: int = SLABS,
    *,
    species: str | None = None,
    tolerance: float | None = None,
    petsc: Mapping[str, Option] | None = None,
) -> Geodesic:
    """W₂ between two densities on one mesh, by a path of Benamou and Brenier in slabs. Collective.

    Args:
        first: A state, or a DOLFINx function of a scalar P1 space that is ≥ 0.
        second: Likewise, on the same mesh and with the same mass.
        slabs: S ≥ 2; the distance is of second order in 1/S and in the size of cells.
        species: The density, where states have several.
        tolerance: Of Newton's method; that of `fem_models.jko.wasserstein` by default.
        petsc: Options of PETSc by name, without a leading dash.

    Returns:
        The distance with the geodesic.

    Raises:
        InputError: What is given is no density, or the two do not go together.
        SolveError: Newton's method failed; the message is its report.
    """
    one, other = _density(first, species, "first"), _density(second, species, "second")
    settings = None
    if tolerance is not None or petsc:
        settings = NewtonSettings(linear="direct", petsc=petsc or {})
        settings = settings if tolerance is None else replace(settings, tolerance=tolerance)
    masses = None
    if isinstance(first, State) and isinstance(second, State):
        # In three dimensions those of a flow are sums over its own nodal volumes.
        masses = (first.masses()[one.name], second.masses()[other.name])
    mesh, cells = one.function_space.mesh, _cells(first)
    found = discrete_wasserstein(mesh, one, other, slabs, settings, cells=cells, masses=masses)
    return Geodesic(found, one.name)


def _density(given: object, species: str | None, what: str) -> Function[Any]:
    if isinstance(given, Function):
        return given
    if not isinstance(given, State):
        kind = type(given).__name__
        raise InputError(f"{what} must be a state or a DOLFINx function, not a {kind}.")
    densities = given.flow.discrete.kept
    if species is None and len(densities) != 1:
        raise InputError(f"{what} has several densities, {', '.join(densities)}: choose one by species=….")
    return given[densities[0] if species is None else species]


def _cells(given: State | Function[Any]) -> npt.NDArray[np.int32] | None:
    return given.flow.discrete.cells if isinstance(given, State) else None

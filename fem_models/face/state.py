"""States of gradient flows, as users hold them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from dolfinx.fem import Function

from fem_models.core.errors import InputError
from fem_models.core.parallel import on_rank_zero
from fem_models.core.suggestions import choices
from fem_models.face.pictures import scratch_pvd
from fem_models.meshes.pvd import write_pvd

if TYPE_CHECKING:
    from fem_models.face.flow import Flow


class State:
    """The fields of a flow at one time. It is not changed: steps give new ones.

    `state["rho"]` is the field rho as a new DOLFINx function. Values are dimensionless.

    Args:
        flow: The flow that it is a state of.
        nodal: Its nodal values with those of ghosts, shape (nodes, fields).
    """

    def __init__(self, flow: Flow, nodal: npt.NDArray[np.float64]) -> None:
        self.flow = flow
        self.nodal = nodal

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return self.flow.names

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """Values at the nodes of this rank, without ghosts, shape (owned nodes, fields); a copy."""
        return self.nodal[: self.flow.discrete.owned].copy()

    @property
    def points(self) -> npt.NDArray[np.float64]:
        """Coordinates of the nodes of this rank, shape (owned nodes, dim)."""
        return self.flow.discrete.points[: self.flow.discrete.owned].copy()

    def __getitem__(self, name: str) -> Function[Any]:
        if name not in self.names:
            raise InputError(f'The flow has no field "{name}"; {choices(str(name), self.names)}.')
        column = self.names.index(name)
        function = Function(self.flow.discrete.space, name=name)
        function.x.array[:] = self.nodal[:, column]
        return function

    def __repr__(self) -> str:
        # Without communication: a debugger may ask one rank alone.
        nodes = self.flow.discrete.space.dofmap.index_map.size_global
        return f"State({', '.join(self.names)}; {nodes} nodes)"

    def energy(self) -> float:
        """The energy of the flow. Collective."""
        return self.flow.discrete.energy(self.nodal)

    def energy_terms(self) -> dict[str, float]:
        """The energy of each term, by its name. Collective."""
        return self.flow.discrete.energy_terms(self.nodal)

    def dissipation(self) -> float:
        """The dissipation D ≥ 0 of dE/dt = -D. Collective."""
        return self.flow.discrete.dissipation(self.nodal)

    def masses(self) -> dict[str, float]:
        """The mass of each field, by its name. Collective."""
        return self.flow.discrete.masses(self.nodal)

    def minima(self) -> dict[str, float]:
        """The least nodal value of each field, by its name. Collective."""
        return self.flow.discrete.minima(self.nodal)

    def maxima(self) -> dict[str, float]:
        """The largest nodal value of each field, by its name. Collective."""
        return self.flow.discrete.maxima(self.nodal)

    def functions(self) -> Mapping[str, Function[Any]]:
        """The fields as new functions, on the part of the mesh where densities live."""
        return self.flow.discrete.functions(self.nodal)

    def write(self, path: Path | str) -> Path:
        """Write the fields for ParaView and PyVista. Collective.

        Args:
            path: Of the .pvd file; its pieces are written next to it.

        Returns:
            The path.

        Raises:
            InputError: A path that does not end in .pvd, or one in a directory that does not exist.
        """
        write_pvd(self.flow.comm, path, [(0.0, list(self.functions().values()))])
        return Path(path)

    def plot(self, path: Path | str, name: str | None = None) -> Path:
        """Draw a field. Collective; one rank draws.

        Args:
            path: Of the picture, a .png file.
            name: The field; the first one by default.

        Returns:
            The path.

        Raises:
            InputError: There is no such field, or the picture cannot be written.
        """
        chosen = self[self.names[0] if name is None else name].name
        with scratch_pvd(self.flow.comm, [(0.0, [self.functions()[chosen]])]) as file:
            return on_rank_zero(self.flow.comm, lambda: _draw(file, chosen, Path(path)))


def _draw(file: Path, name: str, path: Path) -> Path:
    from fem_models.plotting.state import plot_density  # here: it takes a while to import
    from fem_models.results.fields import WrittenFields

    return plot_density(WrittenFields(file, [name]).first, path)

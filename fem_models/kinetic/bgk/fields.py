"""The hydrodynamic quantities (2.2) of a state as functions of x: ρ, j and E."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from dolfinx import fem

from fem_models.kinetic.bgk.modes import MODE
from fem_models.kinetic.bgk.space import KineticSpace, reference_nodes
from fem_models.kinetic.bgk.state import KineticState

_Array = npt.NDArray[np.float64]
_AXES = "xyz"


class KineticFields:
    """Makes functions of states. Collective.

    All are discontinuous polynomials of the degree of the even modes: a cell across the seam of a torus has
    its own corners there. j has components j_x, …, and E_ab = ∫ f (v_a v_b - δ_ab) likewise; in one
    dimension j and E, and the modes from the third on as f_mode_3, …, from which the distribution is drawn.

    Args:
        space: The discrete modes.
    """

    def __init__(self, space: KineticSpace) -> None:
        self._space = space
        self._target = fem.functionspace(space.mesh, ("DG", space.degree))
        self._cells = self._target.dofmap.list[: len(space.cells)]
        # From values at the points for odd modes to those at the nodes of a cell, for linear functions.
        corners = reference_nodes(self._target)
        points = len(space.weights)
        self._odd = np.ones((len(corners), 1)) if points == 1 else corners @ np.linalg.inv(space.shares)
        dim = space.modes.dimension
        self._even_parts: dict[str, tuple[int, float]] = {}
        self._odd_parts: dict[str, int] = {}
        further = range(3, space.modes.degree + 1) if dim == 1 else ()
        # In one dimension the modes n are in the order of n.
        self._even_parts |= {f"{MODE}{n}": (n // 2, 1.0) for n in further if n % 2 == 0}
        for k, n in enumerate(space.modes.even.tolist()):
            if sum(n) == 2:
                a, b = (axis for axis in range(dim) for _ in range(n[axis]))
                name = "E" if dim == 1 else f"E_{_AXES[a]}{_AXES[b]}"
                self._even_parts[name] = (k, 2.0**0.5 if a == b else 1.0)
        for k in range(dim):
            self._odd_parts["j" if dim == 1 else f"j_{_AXES[k]}"] = k
        self._odd_parts |= {f"{MODE}{n}": n // 2 for n in further if n % 2 == 1}

    def __call__(self, state: KineticState) -> Mapping[str, fem.Function]:
        """The functions of a state. Collective.

        Args:
            state: The state.

        Returns:
            By name: rho, j and E, or their components, and in one dimension the modes from the third on.
        """
        found = {"rho": self._even(state, "rho", 0, 1.0)}
        for name, column in self._odd_parts.items():
            found[name] = self._function(name, state.odd[:, :, column] @ self._odd.T)
        for name, (column, factor) in self._even_parts.items():
            found[name] = self._even(state, name, column, factor)
        return found

    def _even(self, state: KineticState, name: str, column: int, factor: float) -> fem.Function:
        return self._function(name, factor * state.even[self._space.cells, column])

    def _function(self, name: str, values: _Array) -> fem.Function:
        function = fem.Function(self._target, name=name)
        function.x.array[self._cells] = values
        function.x.scatter_forward()
        return function

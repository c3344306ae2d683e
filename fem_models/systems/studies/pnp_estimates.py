"""What the theory of Poisson–Nernst–Planck says of a run, beside what the run does.

Kinderlehrer, Monsaingeon and Xu: norms of the densities and their bound (Proposition 3.5, (2.12)), the
dissipation identity (1.4) with (1.5), the energy of the field (2.6), the total squared distance (4.1) and the
Hölder estimate (4.2) of minimising movements. Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from mpi4py import MPI
from ufl.domain import extract_domains

from fem_models.core.protocols import Row, Step
from fem_models.energies import Electrostatic, Potential
from fem_models.expressions.functions import as_ufl
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.nodal.edges import cell_corners, cell_volumes
from fem_models.nodal.evaluation import NodalCover, NodalExpression
from fem_models.systems.poisson_nernst_planck import permittivities

EXPONENTS = (2.0, 4.0, math.inf)

# Norms are compared with their bounds up to rounding, and permittivities with each other.
_ROUNDING = 1e-9

_TEXT = "{:g}".format


class Estimates:
    """Follows the estimates along a flow of charged densities ρ_s with valences z_s. Collective.

    The bound ‖u(t)‖_p + ‖v(t)‖_p ≤ C e^{λt} (‖u(0)‖_p^p + ‖v(0)‖_p^p)^(1/p) of (2.12), with
    λ = max_s ‖ΔU_s‖_∞, is reported where its proof holds: two kinds of ions with valences z and -z, a
    constant permittivity, no doping, and no electrode that touches the ions. It also asks for external
    potentials whose force does not point out of the domain.

    Args:
        flow: A flow with an `Electrostatic` term.
        initial: The state at the start, shape (nodes, species), its static fields in equilibrium.
        start: The time of the initial state.
    """

    table = "study.csv"

    def __init__(self, flow: GradientFlow, initial: State, start: float) -> None:
        self._flow = flow
        self._number, self._term = next(
            (number, term) for number, term in enumerate(flow.terms) if isinstance(term, Electrostatic)
        )
        self._columns = [flow.names.index(name) for name in self._term.charges]
        self._start = self._time = start
        self._energy = flow.energy(initial)
        self._dissipated = 0.0
        self._norms = self.norms(initial)
        self._excess: dict[float, tuple[float, float]] = {}
        self._debye = self._debye_length(initial)

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """Numbers of a state; call it for one state after the other, from the initial one on.

        Args:
            row: With the time.
            step: Not used.
            state: Shape (nodes, species).

        Returns:
            `norm_P`, for P = 2, 4 and inf: Σ_s ‖ρ_s‖_P, with nodal volumes;
            `bound_P`: its bound, see `bound`, where that holds;
            `field_energy`: ½∫a|∇ψ|² (2.6);
            `energy_drop`: E(0) - E(t);
            `dissipated`: Σ τ D at the ends of the steps, for ∫D dt in (1.4). A step of the upwind backward
            Euler scheme lowers the energy by at least that, and the two agree to first order in τ;
            `debye_length`: of the mean densities, see `debye_length`.
        """
        flow, time = self._flow, row["time"]
        if time > self._time:
            self._dissipated += (time - self._time) * flow.dissipation(state)
        self._time = time
        found = {"time": time}
        for p, norms in self.norms(state).items():
            found[f"norm_{_TEXT(p)}"] = float(norms.sum())
            if self.bounded:
                found[f"bound_{_TEXT(p)}"] = bound = self.bound(p, time)
                excess = found[f"norm_{_TEXT(p)}"] / bound - 1.0
                if excess > max(_ROUNDING, self._excess.get(p, (0.0, 0.0))[0]):
                    self._excess[p] = (excess, time)
        local = float(flow.couplings.energies(state)[self._number])
        # The stiffness of the term is that of -½∫a|∇ψ|².
        found["field_energy"] = -flow.comm.allreduce(local)
        found["energy_drop"] = self._energy - flow.energy(state)
        found["dissipated"] = self._dissipated
        found["debye_length"] = self._debye
        return found

    def memory(self) -> dict[str, Any]:
        """What has been dissipated, and how far norms were above their bounds."""
        return {"time": self._time, "dissipated": self._dissipated, "excess": list(self._excess.items())}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of a study of the same run.
        """
        self._time, self._dissipated = memory["time"], memory["dissipated"]
        self._excess = {p: (excess, time) for p, (excess, time) in memory["excess"]}

    def summary(self) -> Mapping[str, Any]:
        """No entries."""
        return {}

    def warnings(self) -> list[str]:
        """A sentence for each norm that went beyond its bound."""
        return [
            f"The norm of L^{_TEXT(p)} was {excess:.2g} (relative) above the bound of (2.12) with lambda = "
            f"{self.rate:.4g}, at t = {time:g}; the bound needs steps below 1/lambda and potentials that do "
            "not push mass onto the boundary."
            for p, (excess, time) in self._excess.items()
        ]

    def norms(self, state: State) -> dict[float, npt.NDArray[np.float64]]:
        """The norms ‖ρ_s‖_p of all ions. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            By p = 2, 4, ∞ the norms with nodal volumes, each of shape (ions,).
        """
        flow = self._flow
        densities = np.abs(state[: flow.owned, self._columns])
        volumes = flow.geometry.volumes[: flow.owned]
        finite = [p for p in EXPONENTS if p < math.inf]
        sums = flow.comm.allreduce(np.array([volumes @ densities**p for p in finite]))
        found = {p: total ** (1.0 / p) for p, total in zip(finite, sums, strict=True)}
        return found | {math.inf: flow.reduce(densities.max(axis=0, initial=0.0), MPI.MAX)}

    def bound(self, p: float, time: float) -> float:
        """The bound 2^(1-1/p) e^{λ(t-t₀)} (‖u⁰‖_p^p + ‖v⁰‖_p^p)^(1/p) of ‖u‖_p + ‖v‖_p, with λ = `rate`.

        It is (2.12) with its constant: steps by (3.7) keep the sum of the p-th powers below e^{λ(p-1)t} times
        the first one, and (a + b)^p ≤ 2^(p-1)(a^p + b^p). So C = 1 for densities with the same norm, and
        C ≤ 2^(1-1/p) ≤ 2 for all.

        Args:
            p: 2, 4 or ∞.
            time: t.

        Returns:
            The bound.
        """
        norms = self._norms[p]
        largest = norms.max()
        mean = 1.0 if p == math.inf else np.mean((norms / largest) ** p) ** (1.0 / p)
        return float(len(norms) * mean * largest * math.exp(self.rate * (time - self._start)))

    @cached_property
    def bounded(self) -> bool:
        """Whether the proof of the bound (2.12) of the norms holds for the system; see the class."""
        flow = self._flow
        valences = list(self._term.charges.values())
        opposite = len(valences) == 2 and valences[0] == -valences[1]
        cover = NodalCover(flow.space)
        doping = NodalExpression(cover, [as_ufl(self._term.doping, flow.x, "The doping")])()[:, 0]
        nodes = np.concatenate([np.empty(0, dtype=np.int32), *(nodes for nodes, _ in flow.fixed.values())])
        low, high, _ = self._permittivity
        local = [float(np.abs(doping).max(initial=0.0) > 0.0), float(flow.inside[nodes].any())]
        doped, touched = flow.reduce(np.array(local), MPI.MAX)
        return bool(opposite and not doped and not touched and high - low <= _ROUNDING * high)

    @cached_property
    def rate(self) -> float:
        """λ = max_s ‖ΔU_s‖_∞ of (2.13), over the nodes where densities live."""
        flow = self._flow
        potentials = [
            as_ufl(term.V, flow.x, "A potential") for term in flow.terms if isinstance(term, Potential)
        ]
        # What does not depend on the position has no mesh to be differentiated on.
        varying = [ufl.div(ufl.grad(V)) for V in potentials if extract_domains(V)]
        if not varying:
            return 0.0
        laplacians = NodalExpression(NodalCover(flow.space), varying)()[flow.inside]
        return flow.comm.allreduce(float(np.abs(laplacians).max(initial=0.0)), op=MPI.MAX)

    def _debye_length(self, state: State) -> float:
        flow = self._flow
        mean = np.array(list(flow.masses(state).values())) / flow.volume
        slopes = np.einsum("nss->ns", flow.hessian(np.broadcast_to(mean, state.shape)))
        slopes = slopes[: flow.owned][flow.inside[: flow.owned]]
        sums = flow.comm.allreduce(np.append(slopes.sum(axis=0), len(slopes)))
        # The entropies are not among the slopes of the potentials.
        curvature = (sums[:-1] / sums[-1] + flow.theta / np.where(mean, mean, 1.0))[self._columns]
        valences = np.array(list(self._term.charges.values()))
        return debye_length(self._permittivity[2] / self._term.coefficient, valences, curvature)

    @cached_property
    def _permittivity(self) -> tuple[float, float, float]:
        """The least, the largest and the mean permittivity of the cells where densities live."""
        flow = self._flow
        mesh, dim = flow.mesh, flow.mesh.topology.dim
        owned = np.arange(mesh.topology.index_map(dim).size_local, dtype=np.int32)
        cells = owned[flow.inside[flow.space.dofmap.list[owned]].all(axis=1)]
        found = permittivities(mesh, self._term.permittivity, cells)
        volumes = cell_volumes(cell_corners(mesh, cells))
        low = flow.comm.allreduce(float(found.min(initial=math.inf)), op=MPI.MIN)
        high = flow.comm.allreduce(float(found.max(initial=-math.inf)), op=MPI.MAX)
        total, volume = flow.comm.allreduce(np.array([volumes @ found.mean(axis=1), volumes.sum()]))
        return low, high, float(total / volume)


def debye_length(permittivity: float, valences: npt.ArrayLike, curvatures: npt.ArrayLike) -> float:
    """The length (a / Σ_s z_s²/e_s'')^½ over which uniform densities screen a small charge.

    With linear diffusion the second derivatives of the diffusion energies are e_s'' = 1/ρ_s, and this is
    (a / Σ_s z_s² ρ_s)^½.

    Args:
        permittivity: a.
        valences: z_s, shape (ions,).
        curvatures: e_s'' at the densities, shape (ions,).

    Returns:
        The length; infinite where nothing screens.
    """
    response = np.sum(np.asarray(valences, dtype=float) ** 2 / np.asarray(curvatures, dtype=float))
    return math.sqrt(permittivity / response) if response > 0.0 else math.inf

"""Terminal costs of the linearised JKO problem, ½∫E'' h² + C∫hq at the end of the interval.

    "paper"              E'' = 1/q                     (Bruna, Burger and Carrillo, (2.13))
    "second-variation"   E'' that of an energy, C = 0  (the linearisation of φ = -δF/δp, (2.11e))

For Boltzmann's entropy both are the same if C = 0; with excluded volume, the energy (2.5) for N particles of
size ε, E'' = 1/q + α_u(N-1)ε^d.
"""

from __future__ import annotations

from typing import Literal

import ufl
from ufl.algorithms import expand_derivatives
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.energies import Energy, Term
from fem_models.nodal.variables import variables

TerminalCost = Literal["paper", "second-variation"]
TERMINAL_COSTS = ("paper", "second-variation")


def curvature(cost: TerminalCost, q: Expr, x: Expr, energy: Energy | Term | None = None) -> Expr:
    """E''(q, x) of a terminal cost, a UFL scalar.

    Args:
        cost: Its name.
        q: The density at the end.
        x: The coordinates.
        energy: For "second-variation": local terms of one density.

    Returns:
        E'' as UFL.

    Raises:
        InputError: There is no such cost, the energy is missing or not needed, it is of several species or
            linear, or one of its terms is not local.
    """
    if cost not in TERMINAL_COSTS:
        raise InputError(f"The terminal cost must be one of {', '.join(TERMINAL_COSTS)}, not {cost!r}.")
    if (energy is not None) != (cost == "second-variation"):
        problem = "goes with no other terminal cost than" if energy is not None else "is missing for"
        raise InputError(f"An energy {problem} second-variation.")
    if energy is None:
        return 1.0 / q
    (density,) = variables([q])
    terms = energy if isinstance(energy, Energy) else Energy((energy,))
    names = sorted({name for term in terms for name in term.of})
    if len(names) != 1:
        raise InputError(
            f"The second variation is for energies of one density, not of {', '.join(names) or 'none'}."
        )
    found = ufl.as_ufl(0.0)
    for term in terms:
        if term.interaction is not None or term.stiffness(x):
            raise InputError(
                f"The energy term {term.name} is not local: its second variation is no function E''(q, x)."
            )
        if term.entropy:
            found += sum(term.entropy.values()) / q
        else:
            found += ufl.diff(ufl.diff(term.density({names[0]: density}, x), density), density)
    found = expand_derivatives(found)
    if found == 0:
        raise InputError("The energy is linear in the density: its second variation is no terminal cost.")
    return found

"""A system of one's own in one file: its keys, equation, steady state, study and figure."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fem_models.config.figures import FIGURES, of_systems
from fem_models.config.flow_system import FlowSystem
from fem_models.config.formulas import COORDINATES, formula
from fem_models.config.schemes import SCHEMES, SchemeEntry
from fem_models.config.system import SYSTEMS
from fem_models.config.terms import TERMS, Term
from fem_models.config.types import Positive, Text
from fem_models.energies import Boltzmann, Density, Potential
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.schemes.backward_euler import BackwardEuler


class Squares(Term):
    """An energy term: k times the integral of u^2."""

    term: Literal["squares"] = Field(description="kind of the term")
    k: Positive = Field(description="factor, dimensionless")

    def build(self, where, name, of, constants):
        return Density(lambda fields, x: self.k * fields[of[0]] ** 2, of=of, name=name)


class Halves(BackwardEuler):
    """A scheme: backward Euler in two halves of a step."""

    def step(self, old, tau):
        return super().step(super().step(old, 0.5 * tau).state, 0.5 * tau)


class Median:
    """A study: the place with half of the mass on either side, in one dimension on one rank."""

    table = "study.csv"

    def __init__(self, flow):
        self.flow = flow

    def look(self, row, state, step):
        order = np.argsort(self.flow.points[:, 0])
        masses = (self.flow.geometry.volumes * state[:, 0])[order]
        share = (np.cumsum(masses) - 0.5 * masses) / row["mass_rho"]
        return {"time": row["time"], "median": float(np.interp(0.5, share, self.flow.points[order, 0]))}

    def summary(self):
        return {"toy": {"points": self.flow.nodes}}

    def warnings(self):
        return []


class Toy(FlowSystem):
    """[system] name = "toy": diffusion in a potential."""

    scheme: ClassVar[str] = "halves"
    name: Literal["toy"] = Field(description="the system")
    potential: Text = Field("r**2/2", description="potential, expression in x, y, z, r, dimensionless")

    def formulas(self):
        yield "potential", self.potential, COORDINATES

    def flow(self, config, marked):
        V = formula(self.potential, "[system] potential", config.constants)
        return GradientFlow(marked, Species("rho"), Boltzmann() + Potential(V))

    def steady(self, flow, masses, seconds):
        state = np.exp(-flow.external_potentials)
        return state * (masses["rho"] / flow.masses(state)["rho"])

    def studies(self, flow, steady, initial, start):
        return [Median(flow)]


def median_figure(run):
    from matplotlib.figure import Figure

    figure = Figure()
    table = run.table("study.csv", ("median",), "the system toy")
    figure.subplots().plot(table["time"], table["median"])
    return figure


def register():
    TERMS.add("squares", Squares)
    SCHEMES.add("halves", SchemeEntry(lambda flow, table, settings: Halves(flow, table.flux, settings)))
    SYSTEMS.add("toy", Toy)
    FIGURES.add("median", of_systems(f"{__name__}:median_figure", "toy"))


def unregister():
    for registry, name in ((TERMS, "squares"), (SCHEMES, "halves"), (SYSTEMS, "toy"), (FIGURES, "median")):
        registry.remove(name)

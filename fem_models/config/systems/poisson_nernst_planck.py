"""The system "poisson-nernst-planck": charges in their own field (Kinderlehrer, Monsaingeon and Xu)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, override

from pydantic import BeforeValidator, Field

from fem_models.config.flow_system import FlowSystem
from fem_models.config.formulas import COORDINATES, COORDINATES_AND_TIME, Formulas, formula
from fem_models.config.names import name_problem, repeated
from fem_models.config.system import SYSTEMS, Fields
from fem_models.config.types import Table, Text, as_tuple
from fem_models.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fem_models.config.run_file import RunConfig
    from fem_models.core.protocols import Study
    from fem_models.flow.gradient_flow import GradientFlow, State
    from fem_models.meshes.marks import MarkedMesh


class Ion(Table):
    """An entry of [system] ions: one kind of charged particles."""

    name: str = Field(description="name of the density, an identifier")
    valence: float = Field(description="charge number, dimensionless")
    potential: Text = Field("0", description="external potential, expression in x, y, z, r, t, dimensionless")


class Electrode(Table):
    """An entry of [system] electrodes: a part of the boundary where the electrostatic potential is given."""

    boundary: str = Field(description="name of a part of the boundary of the mesh, or of facets inside it")
    potential: Text = Field("0", description="psi there, expression in x, y, z, r, dimensionless")


class PoissonNernstPlanck(FlowSystem):
    """[system] name = "poisson-nernst-planck": charged particles in their own electrostatic potential psi."""

    in_space: ClassVar[bool] = True
    equation: ClassVar[str] = "∂tρ_s = Δρ_s^m + div(ρ_s ∇(U_s + z_s ψ)), -div(a∇ψ) = Σ z_s ρ_s + C"
    name: Literal["poisson-nernst-planck"] = Field(description="the system")
    m: Annotated[float, Field(ge=1)] = Field(1.0, description="diffusion exponent, at least 1, dimensionless")
    ions: Annotated[tuple[Ion, ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        (Ion(name="u", valence=1.0, potential="0"), Ion(name="v", valence=-1.0, potential="0")),
        description="the kinds of particles, { name, valence, potential } each",
    )
    permittivity: Text = Field("1", description="permittivity, expression in x, y, z, r, dimensionless")
    doping: Text = Field("0", description="fixed charges, expression in x, y, z, r, dimensionless")
    electrodes: Annotated[tuple[Electrode, ...], BeforeValidator(as_tuple)] = Field(
        (), description="where psi is given, { boundary, potential } each"
    )

    @property
    @override
    def fields(self) -> Fields:
        """The ions and the electrostatic potential."""
        return (*((ion.name, "wasserstein") for ion in self.ions), ("psi", "static"))

    @override
    def formulas(self) -> Formulas:
        """Potentials, permittivity and doping."""
        for number, ion in enumerate(self.ions):
            yield f"ions.{number}.potential", ion.potential, COORDINATES_AND_TIME
        yield "permittivity", self.permittivity, COORDINATES
        yield "doping", self.doping, COORDINATES
        for number, electrode in enumerate(self.electrodes):
            yield f"electrodes.{number}.potential", electrode.potential, COORDINATES

    @override
    def problems(self) -> Iterator[str]:
        """Sentences about names of ions that cannot be."""
        for number, ion in enumerate(self.ions):
            if problem := name_problem(ion.name, "density"):
                yield f'[system] ions.{number}.name = "{ion.name}" {problem}.'
            elif ion.name == "psi":
                yield '[system] ions cannot have the name "psi", that of the potential; choose another.'
        yield from repeated("[system]", "ions.name", [ion.name for ion in self.ions])

    @override
    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """∂tρ_s = Δρ_s^m + div(ρ_s ∇(U_s + z_sψ)), -div(a∇ψ) = Σ z_sρ_s + C: (1.1) and (1.2)."""
        from fem_models.systems.poisson_nernst_planck import Ion as Charge
        from fem_models.systems.poisson_nernst_planck import poisson_nernst_planck

        constants = config.constants
        ions = [
            Charge(
                ion.name,
                ion.valence,
                formula(ion.potential, f"[system] ions.{n}.potential", constants, ("t",)),
            )
            for n, ion in enumerate(self.ions)
        ]
        return poisson_nernst_planck(
            marked,
            ions,
            self.m,
            formula(self.permittivity, "[system] permittivity", constants),
            formula(self.doping, "[system] doping", constants),
            self._electrodes(config, marked),
        )

    def _electrodes(self, config: RunConfig, marked: MarkedMesh) -> dict[str, Any]:
        """Potentials of the electrodes, by the names of their boundaries."""
        from fem_models.systems.poisson_nernst_planck import electrode_fault

        found: dict[str, Any] = {}
        for number, electrode in enumerate(self.electrodes):
            where, name = f"[system] electrodes.{number}", electrode.boundary
            if fault := electrode_fault(marked, name):
                raise InputError(f"{where}.boundary = {fault}.")
            if name in found:
                raise InputError(f'{where}.boundary = "{name}" has an electrode already; keep one of them.')
            found[name] = formula(electrode.potential, f"{where}.potential", config.constants)
        return found

    @override
    def studies(
        self, flow: GradientFlow, steady: State | None, initial: State, start: float
    ) -> Sequence[Study[State]]:
        """Norms with their bounds (2.12), and the dissipation identity (1.4)."""
        from fem_models.systems.studies.pnp_estimates import Estimates

        return [Estimates(flow, initial, start)]


SYSTEMS.add("poisson-nernst-planck", PoissonNernstPlanck)

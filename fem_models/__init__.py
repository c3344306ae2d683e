"""Finite-element gradient flows in the Wasserstein metric, on DOLFINx, PETSc and MPI.

    import fem_models as fm

    disk = fm.mesh("disk", h=0.05)
    flow = fm.Flow(disk, fm.PowerLaw(2) + fm.Potential("2*r**2"))
    rho = flow.state("where(x > 0.5, 1, 0)", mass=1)
    for moment in fm.evolve(flow, rho, fm.Bdf2(flux="average"), step=0.01, until=1.0):
        print(moment.time, moment.energy, moment.masses)
    moment.state.write("rho.pvd")

Names are loaded when they are first used. Everything is dimensionless.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from fem_models._version import __version__
from fem_models._wheel import load_wheel_first
from fem_models.core.extras import require_dolfinx

# Each MPI rank works on one core; NumPy reads this when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

load_wheel_first()

if TYPE_CHECKING:
    from fem_models.core.errors import InputError, SolveError
    from fem_models.core.protocols import Expectation, Memory, Model, Scheme, Step, Study
    from fem_models.energies import (
        Boltzmann,
        Density,
        Dirichlet,
        Electrostatic,
        Energy,
        Interaction,
        Logarithmic,
        Potential,
        PowerLaw,
        Quadratic,
        Term,
        diffusion,
    )
    from fem_models.face.evolution import Moment, evolve
    from fem_models.face.flow import Flow
    from fem_models.face.initial import from_file
    from fem_models.face.meshes import mesh
    from fem_models.face.perturbations import Perturbation, linearised
    from fem_models.face.runs import Run, open_run, run_file
    from fem_models.face.schemes import BackwardEuler, Bdf2, Jko, JkoBdf2, Ljko
    from fem_models.face.state import State
    from fem_models.face.systems import (
        chemotaxis,
        excluded_volume,
        fast_diffusion,
        fokker_planck,
        poisson_nernst_planck,
        two_component,
    )
    from fem_models.face.transport import Geodesic, wasserstein
    from fem_models.particles.excluded_volume import nonlinear_coefficient
    from fem_models.systems.poisson_nernst_planck import Ion

# Where each name of the public face is.
_HOMES = {
    "core.errors": ("InputError", "SolveError"),
    "core.protocols": ("Expectation", "Memory", "Model", "Scheme", "Step", "Study"),
    "energies": (
        *("Boltzmann", "Density", "Dirichlet", "Electrostatic", "Energy", "Interaction", "Logarithmic"),
        *("Potential", "PowerLaw", "Quadratic", "Term", "diffusion"),
    ),
    "face.evolution": ("Moment", "evolve"),
    "face.flow": ("Flow",),
    "face.initial": ("from_file",),
    "face.meshes": ("mesh",),
    "face.perturbations": ("Perturbation", "linearised"),
    "face.runs": ("Run", "open_run", "run_file"),
    "face.schemes": ("BackwardEuler", "Bdf2", "Jko", "JkoBdf2", "Ljko"),
    "face.state": ("State",),
    "face.systems": (
        *("chemotaxis", "excluded_volume", "fast_diffusion", "fokker_planck", "poisson_nernst_planck"),
        "two_component",
    ),
    "face.transport": ("Geodesic", "wasserstein"),
    "particles.excluded_volume": ("nonlinear_coefficient",),
    "systems.poisson_nernst_planck": ("Ion",),
}
_HOME = {name: f"fem_models.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "BackwardEuler",
    "Bdf2",
    "Boltzmann",
    "Density",
    "Dirichlet",
    "Electrostatic",
    "Energy",
    "Expectation",
    "Flow",
    "Geodesic",
    "InputError",
    "Interaction",
    "Ion",
    "Jko",
    "JkoBdf2",
    "Ljko",
    "Logarithmic",
    "Memory",
    "Model",
    "Moment",
    "Perturbation",
    "Potential",
    "PowerLaw",
    "Quadratic",
    "Run",
    "Scheme",
    "SolveError",
    "State",
    "Step",
    "Study",
    "Term",
    "__version__",
    "chemotaxis",
    "diffusion",
    "evolve",
    "excluded_volume",
    "fast_diffusion",
    "fokker_planck",
    "from_file",
    "linearised",
    "mesh",
    "nonlinear_coefficient",
    "open_run",
    "poisson_nernst_planck",
    "run_file",
    "two_component",
    "wasserstein",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        try:
            home = importlib.import_module(_HOME[name])
        except ModuleNotFoundError:
            require_dolfinx()
            raise
        return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

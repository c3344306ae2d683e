"""What a run file can name, for `fem-models list`: read off the schema, so that it cannot fall behind."""

import textwrap
import typing
from pathlib import Path

from pydantic import BaseModel

from fem_models.config.figures import FIGURES
from fem_models.config.formulas import COORDINATES
from fem_models.config.schemes import SCHEMES
from fem_models.config.system import SYSTEMS
from fem_models.config.systems import load_systems
from fem_models.config.tables import Species, Time
from fem_models.config.terms import TERMS
from fem_models.expressions.operations import FUNCTIONS
from fem_models.meshes.domain_names import DOMAINS
from fem_models.particles.interactions import INTERACTIONS

_REPOSITORY = Path(__file__).parents[2]
_MESH_FILES = (".geo", ".msh", ".xdmf")


def catalogue() -> list[tuple[str, list[str]]]:
    """Return titles, each with the names or the paths under it."""
    load_systems()
    return [
        ("systems", list(SYSTEMS)),
        ("energy terms", list(TERMS)),
        ("metrics", _choices(Species, "metric")),
        ("schemes", list(SCHEMES)),
        ("fluxes", _choices(Time, "flux")),
        ("discretisations", _choices(Time, "discretization")),
        ("domains", list(DOMAINS)),
        ("interactions", [*INTERACTIONS, "or an expression in r"]),
        ("figures", list(FIGURES)),
        (
            "variables of expressions",
            [*COORDINATES, "t (in [exact])", "the species (in [[energy]])"],
        ),
        ("constants of expressions", ["pi", "e", "those in [parameters]"]),
        ("functions of expressions", sorted(FUNCTIONS)),
        ("meshes", _found("meshes", _MESH_FILES)),
        ("run files", _found("runs", (".toml",), apart_from=("output", "cluster"))),
        ("clusters", [Path(file).stem for file in _found("runs/cluster", (".toml",))]),
    ]


def catalogue_text() -> str:
    """Return the catalogue as text: a title, and below it the names."""
    wrapped = textwrap.TextWrapper(100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    parts = [f"{title}\n{wrapped.fill(', '.join(names) or 'none found')}" for title, names in catalogue()]
    return "\n".join(parts)


def _choices(model: type[BaseModel], key: str) -> list[str]:
    """The values that a key of the schema may have."""
    annotation = model.model_fields[key].annotation
    options = typing.get_args(annotation)
    # A key that may be left out is a union of its literal with None.
    nested = [name for option in options for name in typing.get_args(option)]
    return [name for name in nested or options if isinstance(name, str)]


def _found(folder: str, suffixes: tuple[str, ...], apart_from: tuple[str, ...] = ()) -> list[str]:
    """Files in a folder of that name here, else beside the package; not those in some folders inside."""
    for base in (Path(), _REPOSITORY):
        if (base / folder).is_dir():
            files = sorted(file for file in (base / folder).rglob("*") if file.suffix in suffixes)
            return [str(file) for file in files if not {*file.relative_to(base).parts} & {*apart_from}]
    return []

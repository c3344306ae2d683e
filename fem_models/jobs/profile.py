"""Profiles: what a job script must know of a cluster. A file of TOML in `runs/cluster/` is one profile."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from fem_models.config.messages import demand, shown
from fem_models.config.types import Count, FrozenDict, Label, Table, as_tuple, freeze
from fem_models.core.errors import InputError
from fem_models.core.suggestions import choices

FOLDER = Path("runs/cluster")
"""Where profiles are found by name, from the current folder."""


def _launcher(value: str) -> str:
    try:
        value.format(ranks=1)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("may have {ranks} in braces and nothing else") from None
    return value


Lines = Annotated[tuple[Label, ...], BeforeValidator(as_tuple)]
Variables = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Label], AfterValidator(freeze)
]


class Profile(Table):
    """A cluster, or a single machine."""

    scheduler: Literal["slurm", "pbs", "none"] = Field(description="who starts the jobs")
    launcher: Annotated[Label, AfterValidator(_launcher)] = Field(
        description="what starts the ranks, such as srun or mpiexec -n {ranks}"
    )
    partition: Label | None = Field(None, description="partition of SLURM, or queue of PBS")
    account: Label | None = Field(None, description="account that pays")
    qos: Label | None = Field(None, description="quality of service, of SLURM")
    nodes: Count | None = Field(None, description="number of nodes")
    tasks_per_node: Count | None = Field(None, description="ranks on a node")
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*[MGT]$")] | None = Field(
        None, description="memory of a node, as in 64G"
    )
    directives: Lines = Field((), description="more options of the scheduler, as in --constraint=zen3")
    modules: Lines = Field((), description="modules to load, in this order")
    environment: Variables = Field(
        default_factory=FrozenDict, description="variables of the environment, which may name others: $HOME"
    )
    activate: Lines = Field(
        (),
        description="lines of shell that make fem-models known; unless given, the environment of `submit`",
    )
    cache: Label | None = Field(
        None, description="folder for compiled forms, seen by all nodes; unless given, that of the user"
    )
    again: Literal["requeue", "submit"] = Field(
        "requeue", description="how a job that is not done goes back to the queue"
    )
    margin: Annotated[int, Field(ge=0)] = Field(
        120,
        description="seconds of the limit kept for the last checkpoint, the steady state and the figures",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """PBS has no requeueing of running jobs by their owners."""
        if isinstance(data, dict) and data.get("scheduler") == "pbs":
            return {"again": "submit"} | data
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scheduler == "none":
            for key in ("partition", "account", "qos", "nodes", "tasks_per_node", "memory", "directives"):
                if getattr(self, key):
                    raise ValueError(f'{key} goes with a scheduler, and scheduler = "none"; remove it')
        if self.scheduler == "pbs" and self.qos:
            raise ValueError('qos goes with scheduler = "slurm"; remove it')
        if self.scheduler == "pbs" and self.again == "requeue":
            raise ValueError('again = "requeue" goes with scheduler = "slurm"; write again = "submit"')
        return self

    def shape(self, ranks: int) -> tuple[int, int] | None:
        """How ranks are laid out.

        Args:
            ranks: Their number.

        Returns:
            The number of nodes and of ranks on each; None where that is left to the scheduler.

        Raises:
            InputError: They do not fit.
        """
        nodes, each = self.nodes, self.tasks_per_node
        if nodes is None and each is None:
            return None
        if nodes is None and each is not None:
            nodes = -(-ranks // each)
            each = min(each, ranks)
        elif nodes is not None and each is None:
            each = -(-ranks // nodes)
        if nodes is None or each is None or nodes * each < ranks:
            raise InputError(
                f"--ranks {ranks} do not fit on the {nodes} nodes with {each} ranks each of the profile."
            )
        return nodes, each


def load_profile(name: str) -> Profile:
    """Read a profile.

    Args:
        name: The stem of a file in `runs/cluster/` of the current folder, or the path of a file.

    Returns:
        The profile.

    Raises:
        InputError: There is none, or something in it is wrong.
    """
    path = Path(name) if name.endswith(".toml") or "/" in name else FOLDER / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(_no_profile(name, path)) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The profile {path} cannot be read: {reason}.") from None
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        raise InputError(f"The profile {path}: {_sentence(error, data)}") from None


def _no_profile(name: str, path: Path) -> str:
    known = [file.stem for file in FOLDER.glob("*.toml")]
    if path.parent != FOLDER:
        return f"The profile {path} does not exist; give the path of a .toml file, or a name in {FOLDER}."
    if not known:
        return f"There is no folder {FOLDER} with profiles here; give the path of one as --cluster PATH."
    return f'--cluster "{name}" is no profile in {FOLDER}; {choices(name, known)}.'


def _sentence(error: ValidationError, data: dict[str, Any]) -> str:
    """What is wrong first: unknown keys explain missing ones."""
    found = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    item = found[0]
    location = [part for part in item["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        return f"{key} is not a key of a profile; {choices(key, Profile.model_fields)}."
    if item["type"] == "missing":
        return f"{key} is missing: {Profile.model_fields[key].description}."
    context = item.get("ctx", {})
    if not location:
        return f"{context['error']}."
    value: Any = data
    for part in location:
        value = value[part]
    if item["type"] == "string_pattern_mismatch":
        wanted = "be a size such as 64G" if key == "memory" else "have a name of letters, digits and _"
        return f"{key} = {shown(value)} must {wanted}."
    return f"{key} = {shown(value)} {demand(item['type'], context, item, value)}."

"""Run files: defaults, round trips, overrides, variants, and one sentence for whatever is wrong."""

import copy
import math
import pickle
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fem_models.config.description import describe
from fem_models.config.io import dump, from_dict, load, to_dict, variant
from fem_models.core.errors import InputError

SCALAR = """
[mesh]
domain = "interval"
cells = 10
[system]
name = "fokker-planck"
[initial]
rho = "exp(-x**2)"
[time]
end = 1
step = 0.1
"""

EXCLUDED = """
[mesh]
domain = "disk"
h = 0.1
[system]
name = "excluded-volume"
interaction = "hard-sphere"
particles = 100
diameter = 0.01
[initial]
rho = 1
[time]
end = 1
step = 0.1
"""

FLOW = """
[mesh]
domain = "rectangle"
cells = [8, 4]
upper = [2, 1]
[system]
name = "gradient-flow"
[[species]]
name = "u"
mass = 2
[[species]]
name = "v"
metric = "l2"
initial = 1
[[energy]]
term = "boltzmann"
of = "u"
label = "entropy"
[[energy]]
term = "power-law"
m = 2
of = ["u", "v"]
[[energy]]
term = "potential"
potential = "a*x**2"
of = "v"
[[energy]]
term = "density"
expression = "u*v + r"
[parameters]
a = 1.5
[initial]
u = "x"
mass = 3
[time]
scheme = "bdf2"
flux = "average"
end = 1
step = 0.1
[solver]
ksp_type = "cg"
snes_monitor = true
pc_factor_levels = 2
[output]
figures = true
field_times = [0.5, 0.2]
profile = { from = [0, 0], to = [2, 1] }
[exact]
u = "exp(-t)*x"
[[compare]]
name = "softer"
set = { "parameters.a" = 2, "energy.1.m" = 3 }
[[compare]]
name = "one density"
set = { system = { name = "fokker-planck" }, initial = { rho = 1 }, exact = {} }
"""


def tables(text: str) -> dict:
    return tomllib.loads(text)


def write(folder, text: str, name: str = "run.toml"):
    path = folder / name
    path.write_text(text)
    return path


def changed(text: str, **changes) -> dict:
    """The tables with dotted keys (written with `__`) set, or removed where the value is `...`."""
    data = tables(text)
    for key, value in changes.items():
        *parents, last = [int(part) if part.isdecimal() else part for part in key.split("__")]
        here = data
        for part in parents:
            here = here[part] if isinstance(here, list) else here.setdefault(part, {})
        if value is ...:
            del here[last]
        else:
            here[last] = value
    return data


def message(data) -> str:
    with pytest.raises(InputError) as caught:
        from_dict(data)
    text = str(caught.value)
    assert "\n" not in text and text[-1] in ".?"
    return text


# --- what is accepted -----------------------------------------------------------------------------


def test_defaults_are_those_of_the_contract():
    config = from_dict(tables(SCALAR))
    assert (config.mesh.lower, config.mesh.upper, config.mesh.cells) == ((0.0,), (1.0,), (10,))
    assert (config.system.m, config.system.diffusion, config.system.potential) == (1.0, 1.0, "0")
    assert (config.time.scheme, config.time.flux, config.time.start) == ("backward-euler", "upwind", 0.0)
    assert config.time.stop_when_steady is False
    solver = config.solver
    assert (solver.tolerance, solver.max_iterations, solver.linear, solver.petsc) == (1e-10, 50, "auto", {})
    assert config.output.figures == ("density", "energy", "terms")
    assert config.output.fields_every is None and config.output.field_times is None
    assert config.species_names == ("rho",)
    assert config.masses == {}
    assert config.initial_expressions == {"rho": "exp(-x**2)"}


def test_a_gradient_flow_is_read():
    config = from_dict(tables(FLOW))
    assert config.species_names == ("u", "v")
    assert config.masses == {"u": 2.0}
    assert config.initial_expressions == {"u": "x", "v": "1"}
    assert config.constants == {"a": 1.5}
    assert [term.term for term in config.energy] == ["boltzmann", "power-law", "potential", "density"]
    assert [term.of for term in config.energy] == [("u",), ("u", "v"), ("v",), ("u", "v")]
    assert config.energy[2].V == "a*x**2"
    assert config.solver.petsc == {"ksp_type": "cg", "snes_monitor": True, "pc_factor_levels": 2}
    assert config.output.field_times == (0.2, 0.5)
    assert config.output.profile.from_ == (0.0, 0.0) and config.output.profile.to == (2.0, 1.0)


def test_masses_by_name():
    data = changed(FLOW, initial__mass={"v": 5}, species__0__mass=...)
    assert from_dict(data).masses == {"v": 5.0}


def test_the_only_species_need_not_be_named():
    data = changed(SCALAR, system={"name": "gradient-flow"}, species=[{"name": "rho"}])
    config = from_dict(data | {"energy": [{"term": "quadratic"}]})
    assert config.energy[0].of == ("rho",) and config.energy[0].coefficient == 1.0


@pytest.mark.parametrize("figures", [([], ()), (False, ()), (["profile"], ("profile",))])
def test_figures(figures):
    written, expected = figures
    assert from_dict(changed(SCALAR, output__figures=written)).output.figures == expected


@pytest.mark.parametrize("interaction", ["yukawa", "exp(-r)/r", 0])
def test_interactions(interaction):
    config = from_dict(changed(EXCLUDED, system__interaction=interaction))
    assert config.system.interaction == str(interaction)
    assert config.mesh.radius == 1.0 and config.mesh.center == (0.0, 0.0)


def test_the_input_is_not_changed():
    data = tables(FLOW)
    before = copy.deepcopy(data)
    from_dict(data)
    assert data == before


@pytest.mark.parametrize("text", [SCALAR, EXCLUDED, FLOW])
def test_dump_loads_back_to_an_equal_config(text, tmp_path):
    config = from_dict(tables(text))
    written = dump(config)
    again = load(write(tmp_path, written))
    assert again == config and hash(again) == hash(config)
    assert dump(again) == written
    assert tomllib.loads(written) == to_dict(config)
    variants = [[variant(c, i) for i in range(len(c.compare))] for c in (again, config)]
    assert variants[0] == variants[1]
    assert pickle.loads(pickle.dumps(config)) == config


def test_dump_has_every_default_and_escapes_strings():
    config = from_dict(changed(FLOW, compare__0__name='a "b" \\ é', solver__ksp_view="x\ny"))
    written = dump(config)
    assert tomllib.loads(written)["time"]["stop_when_steady"] is False
    assert "[[species]]" in written and "[[energy]]" in written
    assert from_dict(tomllib.loads(written)) == config


def test_configs_are_immutable():
    config = from_dict(tables(FLOW))
    with pytest.raises(ValidationError):
        config.time.step = 2.0
    with pytest.raises(TypeError):
        config.solver.petsc["ksp_type"] = "gmres"
    with pytest.raises(TypeError):
        config.compare[0].set.update(a=1)


# --- overrides and variants -----------------------------------------------------------------------


def test_overrides(tmp_path):
    path = write(tmp_path, FLOW)
    overrides = ["time.step=0.25", "species.0.mass = 7", "time.scheme=backward-euler", "initial.u=x**2 + 1"]
    overrides += ['energy.0.label="a=b"', "output.figures=[]", "solver.ksp_rtol=1e-3"]
    config = load(path, overrides)
    assert config.time.step == 0.25 and config.time.scheme == "backward-euler"
    assert config.masses["u"] == 7.0 and config.initial_expressions["u"] == "x**2 + 1"
    assert config.energy[0].label == "a=b" and config.output.figures == ()
    assert config.solver.petsc["ksp_rtol"] == 1e-3


def test_a_date_is_taken_as_an_expression(tmp_path):
    config = load(write(tmp_path, SCALAR), ["system.potential=2020-10-11"])
    assert config.system.potential == "2020-10-11"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("time.step", "key=value"),
        ("=1", "dotted key"),
        ("a..b=1", "dotted key"),
        ("[time]\nstep=1", "dotted key"),
        ("species.7.mass=1", "2 entries"),
        ("species.mass=1", "2 entries"),
        ("time.step.size=1", "no keys of its own"),
        ("time.stepp=1", "did you mean step?"),
        ("time.step=fast", '[time] step = "fast" must be a number.'),
    ],
)
def test_wrong_overrides(tmp_path, override, words):
    with pytest.raises(InputError) as caught:
        load(write(tmp_path, FLOW), [override])
    assert words in str(caught.value)


def test_variants():
    config = from_dict(tables(FLOW))
    softer, single = variant(config, 0), variant(config, 1)
    assert softer.constants == {"a": 2.0} and softer.energy[1].m == 3.0
    assert softer.time == config.time and softer.compare == ()
    assert single.species_names == ("rho",) and single.energy == ()
    with pytest.raises(InputError, match="2 entries"):
        variant(config, 2)
    with pytest.raises(InputError):
        variant(config, -1)


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"time.step": -1}, "[[compare]] #1 (a): [time] step = -1 must be greater than 0."),
        ({"system": {"m": 2}}, '"system.coefficient" = 0'),
        ({"compare.0.name": "b"}, "cannot change [[compare]]"),
        ({"a b": 1}, "dotted key"),
        ({"tyme.end": 1}, "did you mean time?"),
        ({"time.step": math.nan}, "must be a finite number"),
    ],
)
def test_variants_are_checked_when_the_file_is_loaded(settings_, words):
    assert words in message(changed(SCALAR, compare=[{"name": "a", "set": settings_}]))


def test_all_wrong_variants_are_counted():
    wrong = [{"name": name, "set": {"time.step": 0}} for name in "abc"]
    text = message(changed(SCALAR, compare=wrong))
    assert text.startswith("[[compare]] #1 (a)") and text.endswith(
        "(and 2 more problems: [[compare]] #2, [[compare]] #3)."
    )


# --- files ----------------------------------------------------------------------------------------


def test_mesh_files_are_found_next_to_the_run_file_then_in_the_current_folder(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    (here / "a.msh").touch()
    (there / "a.msh").touch()
    (here / "b.geo").touch()
    monkeypatch.chdir(here)
    text = SCALAR.replace('domain = "interval"\ncells = 10', 'file = "a.msh"')
    path = write(there, text)
    assert load(path).mesh.file == str(there / "a.msh")
    config = load(path, ["mesh.file=b.geo", "mesh.h=0.1", "mesh.parameters.width=2"])
    assert config.mesh.file == str(here / "b.geo") and config.mesh.parameters == {"width": 2.0}
    assert load(write(tmp_path, dump(config))) == config
    with pytest.raises(InputError, match=r'\[mesh\] file = "c.msh" is not a file in .*there or .*here'):
        load(path, ["mesh.file=c.msh"])


def test_mesh_files_of_variants_are_resolved_too(tmp_path):
    (tmp_path / "a.msh").touch()
    data = changed(SCALAR, compare=[{"name": "a", "set": {"mesh": {"file": "a.msh"}}}])
    assert variant(from_dict(data, tmp_path), 0).mesh.file == str(tmp_path / "a.msh")
    data["compare"][0]["set"]["mesh"]["file"] = "b.msh"
    with pytest.raises(InputError, match=r"\[\[compare\]\] #1 set mesh.file"):
        from_dict(data, tmp_path)


def test_unreadable_run_files(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "no.toml")
    with pytest.raises(InputError, match="cannot be read"):
        load("a\0b")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[time]\nend = 1\nstep 3\n", "run.toml, line 3, column 6: Expected '='"),
        ("[time]\nend = [1,\n", "run.toml, line 3 (the end): "),
        ("a = " + "9" * 5000, "is not TOML"),
        ("a = " + "[" * 5000, "nests"),
        ("a = " + "[" * 50 + "]" * 50, "nests"),
    ],
)
def test_toml_errors_name_file_and_line(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        load(write(tmp_path, text))
    assert words in str(caught.value)


# --- what is refused ------------------------------------------------------------------------------


def test_an_unknown_key_is_named_with_the_nearest_and_all_known():
    allowed = (
        "Allowed: control, degree, discretization, end, flux, growth, max_step, min_step, scheme, slabs, "
        "start, step, stop_when_steady, tolerance."
    )
    expected = f"[time] stepp is not a key of [time]; did you mean step? {allowed}"
    assert message(changed(SCALAR, time__stepp=0.1)) == expected
    # The missing key is the misspelt one and does not count.
    assert message(changed(SCALAR, time__stepp=0.1, time__step=...)) == expected


def test_further_problems_are_counted():
    text = message(changed(SCALAR, time__step=-0.1, mesh__cells=0, solver__tolerance=2))
    assert (
        text == "[mesh] cells = 0 must be at least 1 (and 2 more problems: [time] step, [solver] tolerance)."
    )
    text = message(changed(SCALAR, parameters={"pi": 1, "rho": 2}))
    assert text.startswith("[parameters] pi ") and text.endswith("(and 1 more problem: [parameters] rho).")


SCALAR_MISTAKES = [
    ({"mesh": ...}, "[mesh] is missing; "),
    ({"system": ...}, "[system] is missing; "),
    ({"time": ...}, "[time] is missing; "),
    ({"initial": ...}, "[initial] rho is missing; "),
    ({"time__end": ...}, "[time] end is missing; "),
    ({"tyme": {}}, "[tyme] is not a table of a run file; did you mean time?"),
    ({"mesh": 3}, "mesh = 3 must be a table, written [mesh]."),
    ({"species": {"name": "u"}}, "each under [[species]]"),
    ({"time__step": -0.1}, "[time] step = -0.1 must be greater than 0."),
    ({"time__step": math.nan}, "[time] step = nan must be a finite number."),
    ({"time__end": math.inf}, "[time] end = inf must be a finite number."),
    ({"time__step": "0.1"}, '[time] step = "0.1" must be a number.'),
    ({"time__step": True}, "[time] step = true must be a number."),
    ({"time__end": 10**30}, "64 bits"),
    ({"time__end": 0}, "end = 0.0 must be greater than start = 0.0."),
    ({"time__stop_when_steady": 1}, "[time] stop_when_steady = 1 must be true or false."),
    ({"time__flux": "upwnd"}, "must be one of upwind, average; did you mean upwind?"),
    ({"mesh__domain": "disc"}, "did you mean disk?"),
    ({"mesh__file": "x.msh"}, '[mesh] file = "x.msh" is not a file'),
    ({"mesh__domain": ...}, "[mesh] needs exactly one of domain and file"),
    ({"mesh__h": 0.1}, "[mesh] cells and h exclude each other"),
    ({"mesh__cells": True}, "[mesh] cells = true must be a list"),
    ({"mesh__cells": 2.5}, "[mesh] cells = 2.5 must be a whole number."),
    ({"mesh__cells": [3, 0]}, "[mesh] cells entry 2 = 0 must be at least 1."),
    ({"mesh__cells": [3, 3]}, '[mesh] cells must have 1 entry for domain = "interval", but has 2.'),
    ({"mesh__radius": 1}, '[mesh] radius does not go with domain = "interval"'),
    ({"mesh__lower": 2}, "[mesh] upper = [1.0] must be greater than lower = [2.0]."),
    ({"mesh__parameters": {"a": 1}}, "[mesh] parameters does not go with"),
    ({"system__name": "fokkerplanck"}, "did you mean fokker-planck?"),
    ({"system__name": ["a"]}, "must be one of bgk, kinetic-fokker-planck, chemotaxis, excluded-volume, fast"),
    ({"system__name": ...}, "[system] name is missing; choose one of"),
    ({"system__m": 0}, "[system] m = 0 must be greater than 0."),
    ({"system__diffusion": -1}, "[system] diffusion = -1 must be at least 0."),
    ({"system__coefficient": 1}, 'is not a key of [system] with name = "fokker-planck"'),
    ({"system__potential": "q*x"}, "[system] potential: unknown name 'q'"),
    ({"initial__rho": "t*x"}, "[initial] rho: unknown name 't'"),
    ({"system__potential": True}, "must be an expression in quotes, or a number"),
    ({"system__potential": " "}, "must not be empty"),
    ({"system__potential": math.inf}, "must be finite"),
    ({"species": [{"name": "u"}]}, "[[species]] does not go with [system]"),
    ({"energy": [{"term": "quadratic", "of": "u"}]}, "[[energy]] does not go with [system]"),
    ({"initial__rh": "1"}, "[initial] rh does not name a density of the system; did you mean rho?"),
    ({"initial__mass": 0}, "[initial] mass = 0 must be greater than 0."),
    ({"initial__mass": {"u": 1}}, "[initial] mass.u does not name a density"),
    ({"initial__mass": {"rho": -1}}, "[initial] mass.rho = -1 must be greater than 0."),
    ({"solver__tolerance": 1}, "[solver] tolerance = 1 must be less than 1."),
    ({"solver__max_iteration": 3}, "did you mean max_iterations?"),
    ({"solver__petsc": {"ksp_type": "cg"}}, "write PETSc options as keys of [solver]"),
    ({"solver__ksp_type": ["cg"]}, '[solver] ksp_type = ["cg"] must be a string'),
    ({"output__figures": ["densty"]}, "did you mean density?"),
    ({"output__figures": "density"}, "must be true, false or a list"),
    ({"output__fields_every": 0}, "[output] fields_every = 0 must be at least 1."),
    ({"output__field_times": [0.5, 2]}, "[output] field_times has 2.0, which is not between"),
    ({"output": {"fields_every": 1, "field_times": [1]}}, "exclude each other"),
    ({"output__profile": {"from": [0]}}, "[output] profile.to is missing"),
    ({"output__profile": {"from": [0, 0], "to": [1, 1]}}, "needs 1"),
    ({"output__profile": {"from": [0], "to": [0]}}, "two different points"),
    ({"parameters__pi": 3}, "[parameters] pi has a meaning of its own"),
    ({"parameters__exp": 3}, "[parameters] exp has a meaning of its own"),
    ({"parameters__2a": 3}, "[parameters] 2a cannot name a parameter"),
    ({"parameters__rho": 3}, "[parameters] rho is the name of a density"),
    ({"parameters__a": "3"}, '[parameters] a = "3" must be a number.'),
    ({"exact__u": "x"}, "[exact] u does not name a density"),
    ({"exact__rho": "x*tt"}, "[exact] rho: unknown name 'tt'"),
    ({"compare": [{"name": "a", "set": {}}] * 2}, '[[compare]] #2 name = "a" is taken'),
    ({"compare": [{"set": {}}]}, "[[compare]] #1 name is missing"),
]


@pytest.mark.parametrize(("changes", "words"), SCALAR_MISTAKES)
def test_mistakes_in_a_scalar_run(changes, words):
    assert words in message(changed(SCALAR, **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"system__coefficient": 1}, "[system] coefficient and interaction exclude each other"),
        ({"system__interaction": ...}, "[system] needs coefficient, or interaction"),
        ({"system__interaction": "hard-spheres"}, "did you mean hard-sphere?"),
        ({"system__interaction": "exp(-x)"}, "[system] interaction: unknown name 'x'"),
        ({"system__interaction": "power-law"}, "[system] exponent is missing"),
        ({"system__exponent": 4}, "[system] exponent does not go with"),
        ({"system__particles": 0}, "[system] particles = 0 must be at least 1."),
        ({"system__particles": ...}, "[system] particles is missing"),
        ({"system__interaction": ..., "system__coefficient": 1}, "goes with interaction only"),
        ({"mesh__cells": 3, "mesh__h": ...}, '[mesh] cells does not go with domain = "disk"'),
    ],
)
def test_mistakes_in_an_excluded_volume_run(changes, words):
    assert words in message(changed(EXCLUDED, **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"species": ...}, "[[species]] is missing"),
        ({"energy": []}, "[[energy]] is missing"),
        ({"species__0__name": "v"}, '[[species]] #2 name = "v" is taken'),
        ({"species__0__name": "exp"}, '[[species]] #1 name = "exp" has a meaning of its own'),
        ({"species__0__name": "lambda"}, '[[species]] #1 name = "lambda" cannot name a species'),
        ({"species__1__metric": "L2"}, '[[species]] #2 metric = "L2" must be one of wasserstein, l2'),
        ({"species__1__nme": "L2"}, "[[species]] #2 nme is not a key of [[species]]; did you mean name?"),
        ({"species__1__initial": "w"}, "[[species]] #2 initial: unknown name 'w'"),
        ({"initial__v": 1}, "[initial] v is given a second time"),
        ({"initial__mass": {"u": 1}}, "[initial] mass.u is given a second time"),
        ({"energy__0__term": "boltzman"}, "did you mean boltzmann?"),
        ({"energy__0__term": ...}, "[[energy]] #1 term is missing"),
        ({"energy__1__m": 1}, "[[energy]] #2 m = 1 must not be 1"),
        ({"energy__1__m": ...}, "[[energy]] #2 m is missing"),
        ({"energy__0__of": ...}, "[[energy]] #1 of is missing"),
        ({"energy__0__of": "w"}, '[[energy]] #1 of = "w" is not a species'),
        ({"energy__1__of": ["u", "u"]}, "must not name a species twice"),
        ({"energy__1__label": "entropy"}, '[[energy]] #2 label = "entropy" is taken'),
        ({"energy__2__V": "x"}, "means the same as V"),
        ({"energy__2__potential": "u"}, "[[energy]] #3 V: unknown name 'u'"),
        ({"energy__3__expression": "u*w"}, "[[energy]] #4 expression: unknown name 'w'"),
        ({"energy__0": 3}, "[[energy]] #1 = 3 must be a table."),
    ],
)
def test_mistakes_in_a_gradient_flow(changes, words):
    assert words in message(changed(FLOW, **changes))


@pytest.mark.parametrize("data", [None, 3, [], {"mesh": None}, {1: 2}, {"a": {"b": object()}}, {"\ud800": 1}])
def test_what_is_not_a_run_file_at_all(data):
    message(data)


# --- describe -------------------------------------------------------------------------------------


def test_describe_lists_values_defaults_and_meanings():
    rows = {entry.key: entry for entry in describe(from_dict(tables(FLOW)))}
    assert rows["time.step"].value == "0.1" and rows["time.step"].default == "required"
    assert rows["time.flux"].value == '"average"' and rows["time.flux"].default == '"upwind"'
    assert rows["solver.ksp_type"].value == '"cg"' and rows["parameters.a"].value == "1.5"
    assert rows["species.1.metric"].value == '"l2"' and rows["energy.1.m"].value == "2.0"
    assert all(entry.meaning for entry in rows.values())
    assert "dimensionless" in rows["time.step"].meaning


def test_described_values_are_those_of_the_dump():
    config = from_dict(tables(FLOW))
    written = to_dict(config)
    for entry in describe(config):
        head, *rest = entry.key.split(".")
        here = written.get(head, {})
        for part in rest:
            here = here[int(part)] if isinstance(here, list) else here.get(part)
        assert (tomllib.loads(f"v = {entry.value}")["v"] if entry.value else None) == here


def test_describe_without_a_config_lists_all_systems_and_terms():
    keys = {entry.key for entry in describe()}
    assert {"system.coefficient", "system.diffusion", "energy.N.V", "energy.N.m", "initial.NAME"} <= keys
    assert {"mesh.parameters", "species.N.metric", "solver.NAME", "output.profile", "compare.N.set"} <= keys


# --- nothing but InputError comes out -------------------------------------------------------------

FILES = [tables(SCALAR), tables(EXCLUDED), tables(FLOW)]
WORDS = [
    "rho",
    "u",
    "v",
    "x",
    "mass",
    "name",
    "term",
    "hard-sphere",
    "power-law",
    "density",
    "V",
    "petsc",
    "file",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*WORDS, "gradient-flow", "disk", "x**2", "((", "ſ", "\ud800", "\0", ""])
    | st.dates()
)
KEYS = st.sampled_from([*WORDS, "mesh", "system", "species", "energy", "from", "(table)"]) | st.text(
    max_size=5
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
FUZZ = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def places(data, path=()):
    """The paths of all entries."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def damaged_files(draw):
    """A good file in which some entries were replaced, added or removed."""
    data = copy.deepcopy(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 3))):
        spots = list(places(data))
        if not spots:
            break
        *parents, last = draw(st.sampled_from(spots))
        here = data
        for part in parents:
            here = here[part]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            here[last] = draw(TREES)
        elif action == "remove":
            del here[last]
        elif isinstance(here, dict):
            here[draw(KEYS)] = draw(TREES)
    return data


def check_outcome(action):
    """Run; the outcome is a configuration that survives a round trip, or an InputError of one sentence."""
    try:
        config = action()
    except InputError as error:
        assert str(error).strip() and "pydantic" not in str(error)
        return
    assert from_dict(tomllib.loads(dump(config))) == config
    assert config.masses.keys() <= config.initial_expressions.keys() == set(config.species_names)
    describe(config)


@FUZZ
@given(damaged_files())
def test_damaged_files_give_input_errors(data):
    check_outcome(lambda: from_dict(data))


@FUZZ
@given(st.dictionaries(st.sampled_from(list(FILES[2])) | KEYS, TREES, max_size=5))
def test_random_tables_give_input_errors(data):
    check_outcome(lambda: from_dict(data))


OVERRIDE_KEYS = st.sampled_from([".".join(map(str, path)) for data in FILES for path in places(data)])
OVERRIDES = st.text(max_size=12) | st.builds(
    "{}={}".format, OVERRIDE_KEYS | st.text(max_size=8), SCALARS | TREES
)


@FUZZ
@given(st.sampled_from([SCALAR, EXCLUDED, FLOW]), st.lists(OVERRIDES, min_size=1, max_size=3))
def test_random_overrides_give_input_errors(tmp_path, text, overrides):
    path = write(tmp_path, text)
    check_outcome(lambda: load(path, overrides))


@pytest.mark.parametrize("figure", ["rates", "convexity", "expansion", "concentration", "jko"])
def test_figures_that_need_more_than_the_run_file_has_are_refused(figure):
    tables = changed(SCALAR, output={"figures": [figure]})
    with pytest.raises(InputError, match=f'"{figure}", which needs'):
        from_dict(tables)

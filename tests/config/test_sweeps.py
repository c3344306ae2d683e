"""[sweep]: what its forms stand for, what is refused in one sentence, and that run.toml says the same."""

import copy
import itertools
import tomllib

import hypothesis.strategies as some
import pytest
from hypothesis import given, settings

from fem_models.config.io import dump, from_dict, load, to_dict, variant
from fem_models.core.errors import InputError

TABLES = {
    "mesh": {"domain": "interval", "cells": 20},
    "system": {"name": "fokker-planck"},
    "initial": {"rho": "1 + x"},
    "time": {"end": 0.1, "step": 0.02},
}


def swept(text):
    """The run file with a table [sweep], given as TOML."""
    return from_dict(copy.deepcopy(TABLES) | {"sweep": tomllib.loads(text)})


def same_again(config):
    """Whether run.toml says the same, and is written alike from what it says."""
    again = from_dict(tomllib.loads(dump(config)))
    return again == config and again.variants == config.variants and dump(again) == dump(config)


# The form, the names of its points, and what the last one sets.
FORMS = {
    "one key": ('key = "mesh.cells"\nvalues = [10, 20.0]', ["cells = 10", "cells = 20"], {"mesh.cells": 20}),
    "product": (
        'keys = { "mesh.cells" = [10, 20], "time.step" = [0.1, 0.05] }',
        [f"cells = {cells}, step = {step}" for cells in (10, 20) for step in (0.1, 0.05)],
        {"mesh.cells": 20, "time.step": 0.05},
    ),
    "keys without quotes": (
        "keys.mesh.cells = [10, 20]\nkeys.time.step = { from = 1, to = 0.01, count = 3, spacing = 'log' }\n",
        [f"cells = {cells}, step = {step}" for cells in (10, 20) for step in (1, 0.1, 0.01)],
        {"mesh.cells": 20, "time.step": 0.01},
    ),
    "zip": (
        'combine = "zip"\nkeys.mesh.cells = [10, 20, 20]\nkeys.time.step = [0.1, 0.1, 0.05]',
        ["cells = 10, step = 0.1", "cells = 20, step = 0.1", "cells = 20, step = 0.05"],
        {"mesh.cells": 20, "time.step": 0.05},
    ),
    "counts in a range": (
        'keys.mesh.cells = { from = 8, to = 128, count = 5, spacing = "log" }',
        [f"cells = {cells}" for cells in (8, 16, 32, 64, 128)],
        {"mesh.cells": 128},
    ),
    "a falling range": (
        "keys.time.step = { from = 0.3, to = 0.1, count = 3 }",
        ["step = 0.3", "step = 0.2", "step = 0.1"],
        {"time.step": 0.1},
    ),
    "texts, truth values and lists": (
        'combine = "zip"\nkeys.time.scheme = ["bdf2", "jko"]\nkeys.system.potential = ["x", "x**2"]\n'
        "keys.output.steady = [true, false]\nkeys.mesh.lower = [[0], [-1]]",
        [
            "scheme = bdf2, potential = x, steady = true, lower = 0",
            "scheme = jko, potential = #2, steady = false, lower = -1",
        ],
        {"time.scheme": "jko", "system.potential": "x**2", "output.steady": False, "mesh.lower": (-1,)},
    ),
    "keys that end alike": (
        'keys.time.start = [0]\nkeys."parameters.start" = [1, 2]',
        ["time.start = 0, parameters.start = 1", "time.start = 0, parameters.start = 2"],
        {"time.start": 0, "parameters.start": 2},
    ),
    "close numbers": (
        "keys.time.step = [0.1234567, 0.1234568]",
        ["step = 0.1234567", "step = 0.1234568"],
        {"time.step": 0.1234568},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    text, names, last = FORMS[form]
    config = swept(text)
    assert [item.name for item in config.variants] == names
    assert config.variants[-1].set == last
    assert same_again(config)


# A range spares its values from being told twice: what is written is what they are.
def test_run_toml_has_the_values_of_a_range():
    config = swept('keys.time.step = { from = 0.02, to = 0.005, count = 3, spacing = "log" }')
    assert to_dict(config)["sweep"] == {"keys": {"time.step": [0.02, 0.01, 0.005]}, "combine": "product"}


BAD = {
    "": r"\[sweep\] needs key and values, or several keys as a table \[sweep.keys\]",
    'key = "time.step"': r"\[sweep\] needs key and values",
    "keys = {}": r"\[sweep\] keys must not be empty; write \"mesh.h\" = \[0.1, 0.05\]",
    "keys = 3": r"\[sweep\] keys = 3 must be a table",
    'key = "time.step"\nvalues = [1]\nkeys.time.end = [1]': "has both keys and key with values; keep one",
    "keys.time.step = [1]\nkys = 1": r"\[sweep\] kys is not a key of \[sweep\]; did you mean key",
    'keys.time.step = [1]\ncombine = "zp"': r"combine = \"zp\" must be one of product, zip",
    "keys.time.step = []": r"\[sweep\] keys.\"time.step\" = \[\] must not be empty",
    "keys.time.step = [0.1, nan]": r"keys.\"time.step\" entry 2 = nan must be a finite number, a text, true",
    "keys.time.step = [0.1, { a = 1 }]": r"keys.\"time.step\" entry 2 must be a finite number, a text, true",
    "keys.time.step = [0.1, -1]": r"\[sweep\] step = -1: \[time\] step = -1 must be greater than 0",
    "keys.time.step = [0.1, 0.1]": r"\[sweep\] has the point step = 0.1 twice; remove one of them",
    "keys.time.step = [1, 1.0]": "has the point step = 1 twice",
    "keys.mesh.clls = [1]": r"\[sweep\] clls = 1: \[mesh\] clls is not a key of \[mesh\]; did you mean cells",
    'keys."mesh..h" = [1]': r"needs a dotted key such as time.step, not \"mesh..h\"",
    'keys.sweep.key = ["a"]': r"cannot change \[sweep\] itself; remove sweep.key",
    'keys.mesh.file = ["no.geo"]': r"\[sweep.keys\] \"mesh.file\" = \"no.geo\" is not a file",
    'combine = "zip"\nkeys.mesh.cells = [1, 2]\nkeys.time.step = [1]': (
        r"combine = \"zip\" needs equally many values of every key, but has mesh.cells 2, time.step 1"
    ),
    "keys.time.step = { from = 1, to = 2, count = 100 }\nkeys.time.end = { from = 3, to = 4, count = 101 }": (
        r"\[sweep\] has 10100 points; 10000 is the most"
    ),
    "keys.time.step = { from = 1, to = 2 }": r"keys.\"time.step\".count is missing; give the number of",
    "keys.time.step = { from = 1, to = 2, cunt = 3 }": (
        r"keys.\"time.step\".cunt is not a key of \[sweep\] keys.\"time.step\"; did you mean count"
    ),
    "keys.time.step = { from = 1, to = 2, count = 1 }": r"keys.\"time.step\".count = 1 must be at least 2",
    "keys.time.step = { from = 1, to = 1, count = 3 }": "needs two different numbers from and to",
    "keys.time.step = { from = 0, to = 1, count = 3, spacing = 'log' }": (
        r"needs positive numbers from and to for spacing = \"log\""
    ),
    "keys.time.step = { from = 1, to = 2, count = 3, spacing = 'lg' }": "must be one of linear, log",
    "keys.mesh.cells = { from = 8, to = 9, count = 3 }": r"cells = 8.5: \[mesh\] cells = 8.5 must be a whole",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_told_in_one_sentence(text):
    with pytest.raises(InputError, match=BAD[text]) as found:
        swept(text)
    assert str(found.value).endswith((".", "?")) and "\n" not in str(found.value)


def test_overrides_reach_the_keys(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(dump(swept("keys.mesh.cells = [10, 20]\nkeys.time.step = [0.1]")))
    config = load(path, ["sweep.keys.time.step=[0.05, 0.02]", 'sweep.combine="zip"'])
    assert [item.name for item in config.variants] == ["cells = 10, step = 0.05", "cells = 20, step = 0.02"]
    # One point among thousands does not check the others.
    wrong = ["sweep.keys.mesh.cells=[10, 0]"]
    with pytest.raises(InputError, match="cells = 0"):
        load(path, wrong)
    config = load(path, wrong, check_variants=False)
    assert variant(config, 0).mesh.cells == (10,)
    with pytest.raises(InputError, match="cells = 0"):
        variant(config, 1)


numbers = some.floats(1e-6, 1e6)
ranges = some.fixed_dictionaries(
    {"from": numbers, "to": numbers, "count": some.integers(2, 6)},
    optional={"spacing": some.sampled_from(["linear", "log"])},
).filter(lambda entry: entry["from"] != entry["to"])
lists = some.lists(numbers, min_size=1, max_size=4, unique=True)


@settings(max_examples=60)
@given(lists | ranges, lists | ranges, some.sampled_from(["product", "zip"]))
def test_any_sweep_is_refused_in_a_sentence_or_runs_again_from_run_toml(first, second, combine):
    keys = {"mesh.lower": first, "parameters.a": second}
    tables = TABLES | {"mesh": {"domain": "interval", "cells": 3, "lower": 0, "upper": 1e7}}
    lengths = [len(axis) if isinstance(axis, list) else axis["count"] for axis in (first, second)]
    try:
        config = from_dict(tables | {"sweep": {"keys": keys, "combine": combine}})
    except InputError as error:
        # Values of a short range may be alike in twelve digits.
        assert (combine == "zip" and lengths[0] != lengths[1]) or "twice" in str(error)
        return
    assert same_again(config)
    assert len(config.variants) == (lengths[0] if combine == "zip" else lengths[0] * lengths[1])
    for axis, found in zip((first, second), config.sweep.axes.values(), strict=True):
        ends = (axis[0], axis[-1]) if isinstance(axis, list) else (axis["from"], axis["to"])
        assert (found[0], found[-1]) == ends
        if isinstance(axis, dict):
            log = axis.get("spacing") == "log"
            gaps = [b / a if log else b - a for a, b in itertools.pairwise(found)]
            assert gaps == pytest.approx([gaps[0]] * len(gaps), rel=1e-6, abs=1e-11 * max(ends))

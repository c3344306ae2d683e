"""The table of a sweep: its columns, what is missing, and orders of errors that are powers of the sizes."""

import math

import numpy as np
import pytest
from sweep_directories import write_sweep

from fem_models.config.sweeps import Sweep
from fem_models.core.errors import InputError
from fem_models.results.orders import orders_of
from fem_models.results.run_data import RunData


def column(rows, name):
    return np.array([row[name] for row in rows])


def test_orders_of_each_key_that_refines_with_the_others_fixed(tmp_path):
    keys = {"time.step": [0.1, 0.05, 0.02], "system.m": [1, 2], "mesh.cells": [10, 40]}

    # Order m in time, and 3 in space, where the other error is nothing to it.
    def errors(step, m, cells):
        return {"error": {"l1": m * step**m * cells**-3.0, "l2": 0.0}}

    columns, rows = write_sweep(tmp_path / "sweep", {"keys": keys}, errors, missing=(1,))
    assert columns == (
        *("step", "m", "cells", "completed", "error_l1", "error_l2", "order_l1_step", "order_l2_step"),
        *("order_l1_cells", "order_l2_cells"),
    )
    assert [(row["step"], row["m"], row["cells"]) for row in rows[:3]] == [
        *((0.1, 1, 10), (0.1, 1, 40), (0.1, 2, 10)),
    ]
    assert column(rows, "completed").tolist() == [0] + [1] * 11
    coarse, in_time = column(rows, "step") == 0.1, column(rows, "order_l1_step")
    assert np.all(np.isnan(in_time[coarse]))
    # From the point that is missing there is no order.
    assert math.isnan(in_time[4])
    known = ~coarse & (np.arange(12) != 4)
    np.testing.assert_allclose(in_time[known], column(rows, "m")[known], rtol=1e-12)
    in_space = column(rows, "order_l1_cells")
    fine = (column(rows, "cells") == 40) & (np.arange(12) != 1)
    np.testing.assert_allclose(in_space[fine], 3.0, rtol=1e-12)
    assert np.all(np.isnan(in_space[~fine]))
    assert np.all(np.isnan(column(rows, "order_l2_step")))


def test_keys_that_refine_together_have_one_order_and_species_have_their_own(tmp_path):
    keys = {
        "system.m": [1, 1, 1, 2],
        "mesh.h": [0.2, 0.1, 0.05, 0.1],
        "time.step": [0.1, 0.025, 0.00625, 0.1],
    }

    def errors(m, h, step):
        return {"error": {"u": {"l1": h**2}, "v": {"l1": step}}}

    columns, rows = write_sweep(
        tmp_path / "sweep", {"keys": keys, "combine": "zip"}, errors, mesh={"domain": "interval", "h": 0.1}
    )
    assert [name for name in columns if name.startswith("order")] == ["order_l1_u", "order_l1_v"]
    for name in ("order_l1_u", "order_l1_v"):
        np.testing.assert_allclose(column(rows, name), [np.nan, 2.0, 2.0, np.nan], rtol=1e-12)


@pytest.mark.parametrize(
    ("key", "values", "size"),
    [
        ("mesh.cells", [[8, 2], [16, 4], [64, 16]], lambda value: 1 / value[0]),
        ("time.slabs", [2, 4], lambda value: 1 / value),
        # Of these the mesh is measured, in whatever order they are.
        ("mesh.parameters.n", [3, 1, 2], lambda value: 0.5**value),
    ],
)
def test_sizes_of_keys(tmp_path, key, values, size):
    def summary(value):
        found = {"error": {"l1": size(value) ** 1.5}}
        return found | ({"mesh": {"h_max": size(value)}} if "parameters" in key else {})

    sweep = Sweep.model_validate({"keys": {key: values}})
    summaries = [summary(point[0]) for point in sweep.points]
    found = orders_of(sweep, summaries, {"error_l1": [entry["error"]["l1"] for entry in summaries]})
    orders = np.array(found["order_l1"])
    coarsest = int(np.argmax([size(point[0]) for point in sweep.points]))
    assert math.isnan(orders[coarsest])
    np.testing.assert_allclose(np.delete(orders, coarsest), 1.5, rtol=1e-12)


def test_a_model_without_energy_and_species_has_its_own_numbers(tmp_path):
    def summary(k):
        reason = "end" if k < 3 else "failed"
        heat = {"drift": 1e-16 * k, "final": k**2, "unit": "dimensionless", "nothing": None}
        return {"stop_reason": reason, "steps": 7, "heat": heat, "wall_seconds": {"total": 2.5}}

    columns, rows = write_sweep(tmp_path / "sweep", {"keys": {"parameters.k": [1, 2, 3]}}, summary)
    assert columns == ("k", "completed", "heat_drift", "heat_final", "heat_nothing", "steps", "seconds")
    assert rows[1] | {"heat_nothing": 0} == {
        **{"k": 2, "completed": 1, "heat_drift": 2e-16, "heat_final": 4, "heat_nothing": 0},
        **{"steps": 7, "seconds": 2.5},
    }
    # A point that failed has no number at the end.
    assert rows[2]["completed"] == 0 and rows[2]["steps"] == 7
    assert math.isnan(rows[2]["heat_final"])


def test_the_table_is_read_with_its_texts(tmp_path):
    keys = {"time.scheme": ["bdf2", "jko"], "parameters.steps": [1, 2], "mesh.cells": [[8], [4]]}
    columns, _ = write_sweep(tmp_path / "sweep", {"keys": keys}, lambda *values: {"steps": 5})
    # The name of a column that is there is that of no key.
    assert columns == ("scheme", "parameters.steps", "cells", "completed", "steps")
    run = RunData(tmp_path / "sweep")
    table = run.table("sweep.csv", ("completed",), "")
    assert table["scheme"].tolist() == ["bdf2"] * 4 + ["jko"] * 4
    assert table["parameters.steps"].tolist() == [1, 1, 2, 2] * 2
    assert table["steps"].tolist() == [5] * 8
    path = tmp_path / "sweep" / "sweep.csv"
    path.write_text(path.read_text().replace(",5", ",five"))
    with pytest.raises(InputError, match="is not a table of numbers"):
        run.table("sweep.csv", (), "")

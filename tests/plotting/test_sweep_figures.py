"""Figures of sweeps: curves with lines of orders, families of curves, heat maps, and what is missing."""

import numpy as np
import pytest
from sweep_directories import write_sweep

from fem_models.core.errors import InputError
from fem_models.plotting.figures import draw
from fem_models.plotting.sweeps import sweep_figure
from fem_models.results.run_data import RunData


def lines_of(axes):
    return {line.get_label(): np.array(line.get_data()) for line in axes.get_lines()}


def figure_of(directory, keys, summary, **options):
    sweep = {"keys": keys} | ({"combine": options.pop("combine")} if "combine" in options else {})
    write_sweep(directory, sweep, summary, **options)
    return sweep_figure(RunData(directory))


def test_errors_over_one_key_stand_above_lines_of_their_orders(tmp_path):
    def errors(step):
        return {"error": {"l1": step, "l2": 3 * step**2, "linf_l1": 5 * step}}

    (axes,) = figure_of(tmp_path / "one", {"time.step": [0.1, 0.05, 0.025]}, errors).axes
    curves = lines_of(axes)
    step = np.array([0.025, 0.05, 0.1])
    np.testing.assert_allclose(curves["$L^1$"], [step, step])
    np.testing.assert_allclose(curves["$L^2$"], [step, 3 * step**2])
    np.testing.assert_allclose(curves["largest $L^1$ of all steps"][1], 5 * step)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    for order in (1, 2):
        (coarse, fine), values = curves[f"order {order}"]
        assert (coarse, fine) == (0.1, 0.025)
        assert values[0] / values[1] == pytest.approx(4.0**order)
        assert values[0] < 0.03  # below the lowest curve

    # Cells refine to the right.
    def errors(cells):
        return {"error": {"l1": 1 / cells}}

    (axes,) = figure_of(tmp_path / "cells", {"mesh.cells": [8, 16, 32]}, errors).axes
    (coarse, fine), values = lines_of(axes)["order 2"]
    assert (coarse, fine) == (8, 32) and values[0] / values[1] == pytest.approx(16.0)


def test_two_numbers_become_a_heat_map_and_a_family_of_curves(tmp_path):
    def rate(m, a):
        return {"energy": {"rate": 10 * m + a, "final": 0.0}}

    keys = {"system.m": [3, 1, 2], "parameters.a": [0.5, 0.25]}
    figure = figure_of(tmp_path / "two", keys, rate, missing=(4,))
    heat, curves, bar = figure.axes
    [image] = heat.get_images()
    np.testing.assert_allclose(
        np.ma.filled(image.get_array(), np.nan), [[np.nan, 20.25, 30.25], [10.5, 20.5, 30.5]]
    )
    assert [text.get_text() for text in heat.texts] == ["×", "20", "30", "10", "20", "30"]
    assert [text.get_text() for text in heat.get_xticklabels()] == ["1", "2", "3"]
    assert [text.get_text() for text in heat.get_yticklabels()] == ["0.25", "0.5"]
    assert (heat.get_xlabel(), heat.get_ylabel(), bar.get_ylabel()) == (
        "m",
        "a",
        "decay rate (dimensionless)",
    )
    family = lines_of(curves)
    np.testing.assert_allclose(family["a = 0.5"], [[1, 2, 3], [10.5, 20.5, 30.5]])
    np.testing.assert_allclose(family["a = 0.25"], [[1, 2, 3], [np.nan, 20.25, 30.25]])
    assert curves.get_ylabel() == "decay rate (dimensionless)"


def test_texts_and_further_keys_become_a_family(tmp_path):
    keys = {"time.scheme": ["bdf2", "jko"], "mesh.cells": [8, 16], "system.m": [1, 2]}

    def errors(scheme, cells, m):
        return {"error": {"u": {"l1": len(scheme) / cells}, "v": {"l1": m}}}

    first, second = figure_of(tmp_path / "three", keys, errors).axes
    assert first.get_ylabel() == "error of u in $L^1$ (dimensionless)"
    curves = lines_of(first)
    assert set(curves) == {f"scheme = {scheme}, m = {m}" for scheme in ("bdf2", "jko") for m in (1, 2)} | {
        *("order 1", "order 2")
    }
    np.testing.assert_allclose(curves["scheme = bdf2, m = 1"], [[8, 16], [0.5, 0.25]])
    np.testing.assert_allclose(lines_of(second)["scheme = jko, m = 2"], [[8, 16], [2, 2]])

    # Texts alone stand beside each other.
    def energy(scheme):
        return {"energy": {"final": float(len(scheme))}}

    (axes,) = figure_of(tmp_path / "texts", {"time.scheme": ["jko", "bdf2"]}, energy).axes
    np.testing.assert_allclose(axes.get_lines()[0].get_data(), [[0, 1], [3, 4]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["jko", "bdf2"]


def test_keys_that_change_together_are_one_curve(tmp_path):
    keys = {"mesh.cells": [8, 16], "time.step": [0.1, 0.025]}
    (axes,) = figure_of(
        tmp_path / "zip", keys, lambda cells, step: {"error": {"l1": step}}, combine="zip"
    ).axes
    np.testing.assert_allclose(lines_of(axes)["$L^1$"], [[8, 16], [0.1, 0.025]])
    assert axes.get_xlabel() == "cells (with step)"


def test_a_sweep_without_a_run_of_its_own_is_drawn_as_a_whole(tmp_path):
    write_sweep(
        tmp_path / "sweep", {"keys": {"mesh.cells": [8, 16]}}, lambda cells: {"heat": {"final": cells}}
    )
    assert draw(tmp_path / "sweep") == [tmp_path / "sweep" / "figures" / "sweep.png"]
    (axes,) = sweep_figure(RunData(tmp_path / "sweep")).axes
    assert axes.get_ylabel() == "heat final (dimensionless)"
    write_sweep(tmp_path / "new", {"keys": {"mesh.cells": [8, 16]}}, dict, missing=(1, 2))
    with pytest.raises(InputError, match="No point of the sweep has come to its end yet"):
        draw(tmp_path / "new")
    (tmp_path / "sweep" / "sweep.csv").unlink()
    with pytest.raises(InputError, match="the sweep has not come to its end"):
        draw(tmp_path / "sweep")

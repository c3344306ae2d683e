"""The figures of coupled systems: what they show, and one sentence where a table is not there."""

import json

import numpy as np
import pytest
from run_directories import density, write_run

from fem_models.core.errors import InputError
from fem_models.plotting import draw
from fem_models.plotting.concentration import concentration_figure
from fem_models.plotting.convexity import convexity_figure
from fem_models.plotting.expansion import expansion_figure
from fem_models.plotting.rates import rates_figure
from fem_models.plotting.steady import steady_figure
from fem_models.results.run_data import RunData

COUPLED = """
[mesh]
{mesh}
[system]
name = "two-component"
epsilon = {epsilon}
lambda = 3
centers = {centers}
[initial]
rho1 = 1
rho2 = 1
[time]
end = 1
step = 0.1
[output]
figures = {figures}
{tail}
"""
COMPARE = '[[compare]]\nname = "free"\nset = { "system.epsilon" = 0.0 }'
SWEEP = '[sweep]\nkey = "system.epsilon"\nvalues = [0, 0.5, 2]'
MESHES = {1: 'domain = "interval"\ncells = 50', 2: 'domain = "disk"\nh = 0.1'}
TIME = np.linspace(0.0, 1.0, 21)


def write_coupled(directory, dimension=1, epsilon=0.5, figures=(), tail="", static=True):
    """A run directory of two densities rho1 and rho2."""
    write_run(directory, dimension, "", ("rho1", "rho2"), times=(0.0, 1.0), static=static)
    text = COUPLED.format(
        mesh=MESHES[dimension],
        epsilon=epsilon,
        centers=[[0.0] * dimension] * 2,
        figures=list(figures),
        tail=tail,
    )
    (directory / "run.toml").write_text(text)
    return directory


def write_table(path, columns):
    rows = np.column_stack(list(columns.values()))
    lines = [",".join(columns), *(",".join(map(repr, map(float, row))) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def write_study(directory):
    """L = exp(-6t), A = cos(5t) exp(-8t), E their sum with ε = ½; a quotient that begins at 20."""
    L, A = np.exp(-6 * TIME), np.cos(5 * TIME) * np.exp(-8 * TIME)
    columns = {"time": TIME, "E": L + 0.5 * A, "L": L, "A": A, "dissipation_E": 6 * L, "dissipation_L": 7 * L}
    columns["quotient"] = np.where(TIME < 0.9, 2.8 + 17.2 * np.exp(-30 * TIME), np.nan)
    write_table(directory / "study.csv", columns)
    return columns


def write_sweep(directory):
    columns = {"value": [0, 0.5, 2], "rate": [6, 4.5, np.nan], "steady_energy": [-0.5] * 3}
    write_table(
        directory / "sweep.csv", columns | {"minimal_quotient": [2.9, 2.0, 0.5], "completed": [1, 1, 0]}
    )
    summary = json.loads((directory / "summary.json").read_text())
    summary["sweep"] = {"key": "system.epsilon", "reference_rate": 6.0, "K": 0.5}
    (directory / "summary.json").write_text(json.dumps(summary))


def write_convexity(directory):
    k = 2.0 ** np.arange(8)
    columns = {"k": k, "displacement": 5.0 - 0.1 * k**2, "displacement_over_k2": 5.0 / k**2 - 0.1}
    write_table(directory / "convexity.csv", columns | {"flat": 0.3 + 0 * k, "flat_least": 0.8 + 0 * k})


def lines_of(axes):
    """The data of the lines of axes, by their labels."""
    return {line.get_label(): np.array(line.get_data()) for line in axes.get_lines()}


def labels_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_all_become_files(tmp_path):
    names = ["steady", "expansion", "rates", "convexity"]
    run = write_coupled(tmp_path, 2, figures=names, tail=f"{SWEEP}\n[convexity]\nfrequencies = [1, 2]\n")
    write_study(run)
    write_sweep(run)
    write_convexity(run)
    assert draw(run) == [run / "figures" / f"{name}.png" for name in names]


def test_expansion(tmp_path):
    run = write_coupled(tmp_path, tail=COMPARE)
    columns = write_study(run)
    write_study(write_coupled(run / "compare" / "free", epsilon=0))
    figure = expansion_figure(RunData(run))
    energies, dissipations, quotient = figure.axes
    curves = lines_of(energies)
    np.testing.assert_array_equal(curves[r"$E^\varepsilon$"], [TIME, columns["E"]])
    np.testing.assert_array_equal(curves[r"$L^\varepsilon$"], [TIME, columns["L"]])
    positive = columns["A"] > 0.0
    shown = curves[r"$A^\varepsilon$ ($-A^\varepsilon$ dotted)"][1]
    np.testing.assert_array_equal(shown, np.where(positive, columns["A"], np.nan))
    np.testing.assert_array_equal(
        energies.get_lines()[3].get_ydata(), np.where(positive, np.nan, -columns["A"])
    )
    assert [np.array(line.get_ydata())[0] for line in dissipations.get_lines()] == [6.0, 7.0]
    assert labels_of(quotient) == ["epsilon = 0.5", "free", "3 (without coupling)"]
    # The fast start is cut off, so that the bound can be seen.
    assert quotient.get_ylim() == (0.0, 9.0)


def test_rates(tmp_path):
    run = write_coupled(tmp_path, tail=SWEEP)
    write_sweep(run)
    write_coupled(run / "compare" / "epsilon = 0", epsilon=0)
    write_coupled(run / "compare" / "epsilon = 0.5")
    energies, rates = rates_figure(RunData(run)).axes
    assert labels_of(energies) == ["epsilon = 0", "epsilon = 0.5"]
    curves = lines_of(rates)
    np.testing.assert_array_equal(curves["decay rate"], [[0, 0.5, 2], [6, 4.5, np.nan]])
    np.testing.assert_allclose(curves[r"least $|\partial E|^2 / E$"][1], [5.8, 4.0, 1.0])
    np.testing.assert_allclose(curves[r"6 (1 - K $\epsilon$), K = 0.5"], [[0, 2], [6, 0]])
    np.testing.assert_array_equal(curves["no rate (see sweep.csv)"], [[2], [0]])
    assert rates.get_xlabel() == r"$\epsilon$"


def test_convexity(tmp_path):
    write_convexity(write_coupled(tmp_path))
    along, flat = convexity_figure(RunData(tmp_path)).axes
    curves = lines_of(along)
    np.testing.assert_array_equal(curves["positive"][0], [1, 2, 4])
    np.testing.assert_array_equal(curves["negative"][0], [8, 16, 32, 64, 128])
    last = 0.1 * 128.0**2 - 5.0
    np.testing.assert_allclose(curves["slope of $-k^2$"][1][[0, -1]], [last / 128**2, last])
    assert (along.get_xscale(), along.get_yscale()) == ("log", "log")
    values = lines_of(flat)
    np.testing.assert_array_equal(values["in the direction of the oscillation"][1], 0.3)
    np.testing.assert_array_equal(values["least over the range, relative to the diagonal"][1], 0.8)


def test_concentration(tmp_path):
    run = write_coupled(tmp_path, tail=COMPARE)
    variant = write_coupled(run / "compare" / "free", epsilon=0)
    for directory, count in ((run, 100.0), (variant, 3.0)):
        columns = {
            "time": TIME,
            "vertices_half_rho1": count + 0 * TIME,
            "largest_share_rho1": 1 / count + TIME,
        }
        write_table(directory / "study.csv", columns)
    vertices, share = concentration_figure(RunData(run)).axes
    found = {label: data[1][0] for label, data in lines_of(vertices).items()}
    assert found == {"epsilon = 0.5": 100, "free": 3}
    np.testing.assert_allclose(lines_of(share)["free"], [TIME, 1 / 3 + TIME])
    assert vertices.get_yscale() == "log"


def test_steady_curves_begin_with_the_least_coupling(tmp_path):
    run = write_coupled(tmp_path, 1, tail=COMPARE)
    write_coupled(run / "compare" / "free", 1, epsilon=0)
    panels = steady_figure(RunData(run)).axes
    assert [axes.get_title() for axes in panels] == [r"$\varepsilon$ = 0", r"$\varepsilon$ = 0.5"]
    x = np.linspace(0.0, 1.0, 51)
    for number, line in enumerate(panels[0].get_lines()):
        expected = density(np.array([x, 0 * x, 0 * x]), 5.0, number)
        np.testing.assert_allclose(line.get_data(), [x, expected], atol=1e-12)


def test_steady_maps_have_a_row_for_each_density(tmp_path):
    run = write_coupled(tmp_path, 2, tail=COMPARE)
    write_coupled(run / "compare" / "free", 2, epsilon=0)
    axes = steady_figure(RunData(run)).axes
    assert len(axes) == 2 * 2 + 2  # with two colour bars
    assert [panel.get_title() for panel in axes[:4]] == [r"$\varepsilon$ = 0", r"$\varepsilon$ = 0.5", "", ""]


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (expansion_figure, "study.csv does not exist: a convex expansion needs a coupled system"),
        (concentration_figure, 'study.csv does not exist: the figure "concentration" needs'),
        (convexity_figure, r"convexity.csv does not exist: .*needs \[convexity\] in the run file"),
        (rates_figure, r'The figure "rates" needs a \[sweep\] in the run file'),
        (steady_figure, 'The figure "steady" needs a steady state; none of the runs has found one'),
    ],
)
def test_a_missing_table_is_one_sentence(tmp_path, figure, message):
    run = RunData(write_coupled(tmp_path, static=False))
    with pytest.raises(InputError, match=message):
        figure(run)


def test_a_table_without_a_column_is_one_sentence(tmp_path):
    run = write_coupled(tmp_path)
    write_table(run / "study.csv", {"time": [0.0], "E": [1.0]})
    with pytest.raises(InputError, match=r"study.csv has no column A; run the run file again"):
        expansion_figure(RunData(run))
    with pytest.raises(InputError, match=r"study.csv has no column vertices_half_NAME"):
        concentration_figure(RunData(run))

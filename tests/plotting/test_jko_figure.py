"""The figure of minimising movements: what it shows, and one sentence where a table is not there."""

import numpy as np
import pytest
from run_directories import write_run

from fem_models.core.errors import InputError
from fem_models.plotting import draw
from fem_models.plotting.jko import jko_figure
from fem_models.results.run_data import RunData

STEPS = 200  # of `write_run`
RUN = '[time]\nscheme = "{scheme}"\nend = 1\nstep = 0.005\n[output]\nfigures = ["jko"]'


def write_movements(directory, scheme="jko", broken=False):
    """A run of two densities whose actions are .3 and .1 of the energy lost, and its series."""
    write_run(directory, 1, "", ("u", "v"), times=(0.0, 1.0))
    text = (directory / "run.toml").read_text()
    start, end = text.index("[time]"), text.index("[output]")
    text = text[:start] + RUN.format(scheme=scheme) + text[end + len("[output]") :]
    (directory / "run.toml").write_text(text)
    series = np.genfromtxt(directory / "series.csv", delimiter=",", names=True)
    lost = -np.diff(series["energy"])
    actions = {"u": 0.3 * lost, "v": 0.1 * lost}
    if broken:
        actions["u"][3] = 2.0 * lost[3]
    columns = {"step": np.arange(1, STEPS + 1), "time": series["time"][1:]}
    columns |= {f"action_{name}": action for name, action in actions.items()}
    columns |= {f"distance_{name}": np.sqrt(0.01 * action) for name, action in actions.items()}
    columns |= {"excess": sum(actions.values()) - lost, "hamilton_jacobi": 0 * lost, "terminal": 0 * lost}
    table = np.column_stack(list(columns.values()))
    lines = [",".join(columns), *(",".join(repr(float(entry)) for entry in row) for row in table)]
    (directory / "jko.csv").write_text("\n".join(lines) + "\n")
    return lost


def lines_of(axes):
    return {line.get_label(): np.array(line.get_data()) for line in axes.get_lines()}


def test_panels_show_distances_actions_and_the_total(tmp_path):
    lost = write_movements(tmp_path / "run")
    distances, law, total = jko_figure(RunData(tmp_path / "run")).axes
    curves = lines_of(distances)
    assert list(curves) == ["$W_2$ of u", "$W_2$ of v"]
    assert curves["$W_2$ of u"][1] == pytest.approx(np.sqrt(0.003 * lost))
    curves = lines_of(law)
    assert list(curves) == ["energy lost", r"action $\sum d^2/(2\tau)$"]
    seen = np.isfinite(curves["energy lost"][1])
    assert curves["energy lost"][1][seen] == pytest.approx(lost[seen])
    assert curves[r"action $\sum d^2/(2\tau)$"][1][seen] == pytest.approx(0.4 * lost[seen])
    bound, sums = lines_of(total).values()
    assert (bound[0][0], bound[1][0], sums[1][0]) == (0.0, 0.0, 0.0)
    assert bound[1][1:] == pytest.approx(np.cumsum(lost))
    assert sums[1][1:] == pytest.approx(0.4 * np.cumsum(lost))


def test_a_broken_law_is_marked(tmp_path):
    write_movements(tmp_path / "run", broken=True)
    law = jko_figure(RunData(tmp_path / "run")).axes[1]
    [marked] = [line for label, line in lines_of(law).items() if label == "action above the energy lost"]
    assert marked[0] == pytest.approx([0.02])


def test_movements_from_extrapolations_have_no_total(tmp_path):
    write_movements(tmp_path / "run", scheme="jko-bdf2")
    total = jko_figure(RunData(tmp_path / "run")).axes[2]
    assert not total.get_lines()
    assert "extrapolations" in total.texts[0].get_text()


def test_the_figure_is_drawn_by_its_name(tmp_path):
    write_movements(tmp_path / "run")
    assert draw(tmp_path / "run") == [tmp_path / "run" / "figures" / "jko.png"]
    assert (tmp_path / "run" / "figures" / "jko.png").stat().st_size > 10_000


def test_a_missing_or_foreign_table_is_one_sentence(tmp_path):
    write_movements(tmp_path / "run")
    path = tmp_path / "run" / "jko.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="not of one run"):
        jko_figure(RunData(tmp_path / "run"))
    path.unlink()
    with pytest.raises(InputError, match='"jko" needs a scheme of minimising movements'):
        jko_figure(RunData(tmp_path / "run"))

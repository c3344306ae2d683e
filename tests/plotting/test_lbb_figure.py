"""The picture of inf-sup constants: what is drawn, and how pairs are told apart."""

import math

import numpy as np
import pytest

from fem_models.plotting.lbb import lbb_figure
from fem_models.results.inf_sup_table import InfSupRequest, InfSupRow

H = (0.5, 0.25, 0.125)


def rows_of(name, beta, boundary="no-flux"):
    constraint = math.nan if boundary == "free" else 0.5
    return [
        InfSupRow(name, boundary, round(1 / h), h, 9, value, value * constraint)
        for h, value in zip(H, beta, strict=True)
    ]


ROWS = [
    *rows_of("P1-DG0", (0.8, 0.9, 0.95)),
    *rows_of("DG0-RT1", (1.1, 1.15, 1.2)),
    *rows_of("DG0-RT1", (1.3, 1.25, 1.2), "free"),
    *rows_of("P2-DG0", (0.0, 0.0, 0.0)),
    *rows_of("P1-P1", (0.2, 0.1, 0.05)),
]


def lines_of(axes):
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def test_a_line_for_each_pair_and_boundary():
    axes = lbb_figure(InfSupRequest(), ROWS).axes
    assert len(axes) == 1
    lines = lines_of(axes[0])
    assert list(lines) == ["P1-DG0", "DG0-RT1", "DG0-RT1, free boundary", "P2-DG0 (zero)", "P1-P1"]
    assert [line.get_linestyle() for line in lines.values()] == ["-", "-", "-", "--", "--"]
    np.testing.assert_allclose(lines["P1-P1"].get_xydata(), np.transpose([H, (0.2, 0.1, 0.05)]))
    assert axes[0].get_xscale() == axes[0].get_yscale() == "log"
    assert "dimensionless" in axes[0].get_xlabel() and "dimensionless" in axes[0].get_ylabel()


def test_zeros_are_at_the_lower_end_of_the_axis():
    axes = lbb_figure(InfSupRequest(), ROWS).axes[0]
    low = axes.get_ylim()[0]
    assert 0.0 < low < 0.05
    assert lines_of(axes)["P2-DG0 (zero)"].get_ydata() == pytest.approx([low] * 3)


def test_a_second_panel_has_the_whole_constraint():
    axes = lbb_figure(InfSupRequest(transport="x", slabs=2), ROWS).axes
    assert len(axes) == 2
    assert "DG0-RT1, free boundary" not in lines_of(axes[1])
    assert lines_of(axes[1])["P1-DG0"].get_ydata() == pytest.approx([0.4, 0.45, 0.475])


def test_one_mesh_and_only_zeros_are_drawn():
    figure = lbb_figure(InfSupRequest(), rows_of("P2-DG0", (0.0, 0.0, 0.0))[:1])
    figure.canvas.draw()
    assert figure.axes[0].get_ylim()[0] > 0.0

"""The figures: what they show, the files they become, and one sentence where they cannot be drawn."""

import matplotlib.image
import numpy as np
import pytest
from dolfinx import fem, io
from matplotlib.collections import TriMesh
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from mpi4py import MPI
from run_directories import RATE, density, potential, write_run, write_series

from fem_models.core.errors import InputError, OutputError
from fem_models.meshes import domains as meshes
from fem_models.plotting import draw
from fem_models.plotting.energy import energy_figure, terms_figure
from fem_models.plotting.figures import density_figure
from fem_models.plotting.lines import curves_figure
from fem_models.plotting.overview import overview_figure
from fem_models.plotting.panels import colour_range, plane_figure, space_figure
from fem_models.plotting.style import columns_of
from fem_models.results.run_data import RunData

FIGURES = ("density", "profile", "energy", "terms", "overview")
ALL = 'figures = ["density", "profile", "energy", "terms", "overview"]'
COMPARE = '[[compare]]\nname = "slow"\nset = { "time.step" = 0.05 }'
TIMES = (0.0, 0.1, 0.5)


def lines_of(axes):
    """The data of the lines of axes, by their labels."""
    return {line.get_label(): np.array(line.get_data()) for line in axes.get_lines()}


def legend_of(figure):
    """Of the lowest axes."""
    return [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]


@pytest.mark.parametrize(
    ("dimension", "species"), [(1, ("rho",)), (2, ("rho",)), (3, ("rho",)), (1, ("u", "v")), (2, ("u", "v"))]
)
def test_every_figure_becomes_a_file(tmp_path, dimension, species):
    tail = COMPARE if species == ("rho",) else ""
    run = write_run(tmp_path / "run", dimension, ALL, species, tail)
    if tail:
        write_run(run / "compare" / "slow", dimension, rate=5.0)
    paths = draw(run)
    assert paths == [run / "figures" / f"{name}.png" for name in FIGURES]
    assert sorted(path.name for path in (run / "figures").iterdir()) == sorted(path.name for path in paths)
    for path in paths:
        picture = matplotlib.image.imread(path)
        assert 500 < picture.shape[1] <= 2000 and 200 < picture.shape[0] <= 2000
        assert picture.std() > 0.01


def test_the_figures_asked_for_and_no_others(tmp_path):
    assert [path.name for path in draw(write_run(tmp_path, 1, 'figures = ["terms"]'))] == ["terms.png"]
    assert draw(write_run(tmp_path, 1, "figures = false")) == []
    assert [path.stem for path in draw(write_run(tmp_path, 1))] == ["density", "energy", "terms"]


@pytest.mark.parallel
def test_a_parallel_run_is_drawn_by_one_rank(shared_tmp_path):
    write_run(shared_tmp_path, 2, times=(0.0, 1.0))
    MPI.COMM_WORLD.Barrier()
    if MPI.COMM_WORLD.rank == 0:
        assert len(draw(shared_tmp_path)) == 3


def test_curves_of_an_interval(tmp_path):
    figure = curves_figure(RunData(write_run(tmp_path, 1, times=TIMES)))
    front, right = figure.axes
    curves = lines_of(front)
    x = np.linspace(0.0, 1.0, 51)
    points = np.array([x, 0 * x, 0 * x])
    expected = {f"t = {time:g}": density(points, time) for time in TIMES}
    expected["steady state"] = density(points, 5.0)
    assert list(curves) == list(expected)
    for label, values in expected.items():
        np.testing.assert_allclose(curves[label], [x, values], atol=1e-12)
    ((_, drawn),) = lines_of(right).values()
    np.testing.assert_allclose(drawn, potential(points), atol=1e-12)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*expected, "potential V (right)"]


def test_a_profile_of_the_plane(tmp_path):
    output = "profile = { from = [0.0, -0.6], to = [0.0, 0.6] }"
    figure = curves_figure(RunData(write_run(tmp_path, 2, output, static=False)))
    (axes,) = figure.axes
    y, values = lines_of(axes)["t = 1"]
    assert (y[0], y[-1]) == (pytest.approx(-0.6), pytest.approx(0.6))
    np.testing.assert_allclose(values, density(np.array([0 * y, y, 0 * y]), 1.0), atol=0.02)
    assert axes.get_xlabel() == "y  (at x = 0)"


def test_panels_share_one_colour_scale_that_fits_all_times(tmp_path):
    run = RunData(write_run(tmp_path, 2))
    pictures = [
        item for axes in plane_figure(run).axes for item in axes.collections if isinstance(item, TriMesh)
    ]
    assert len(pictures) == 6
    assert len({(item.norm.vmin, item.norm.vmax) for item in pictures}) == 1
    largest = max(run.fields.at(time).values["rho"].max() for time in run.fields.times)
    assert pictures[0].norm.vmin == 0.0 and pictures[0].norm.vmax == pytest.approx(largest)
    np.testing.assert_array_equal(pictures[3].get_array(), run.fields.at(0.2).values["rho"])


def test_at_most_six_panels_and_four_scenes(tmp_path):
    many = np.linspace(0.0, 1.0, 15)
    plane = plane_figure(RunData(write_run(tmp_path / "2", 2, times=many, static=False)))
    titles = [axes.get_title() for axes in plane.axes if axes.get_title()]
    assert len(titles) == 6 and titles[0] == "t = 0" and titles[-1] == "t = 1"
    space = space_figure(RunData(write_run(tmp_path / "3", 3, times=many, static=False)))
    titles = [axes.get_title() for axes in space.axes if axes.get_title().startswith("t = ")]
    assert len(titles) == 4 and titles[0] == "t = 0" and titles[-1] == "t = 1"
    assert sum(axes.get_title() == "z = 0" for axes in space.axes) == 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 1.0], (0.0, 1.0)),
        ([0.6, 1.0], (0.6, 1.0)),
        ([-2.0, 1.0], (-2.0, 1.0)),
        ([-1e-40, 1.0], (0.0, 1.0)),
    ],
)
def test_colour_scales(values, expected):
    scale = colour_range([np.array(values)])
    assert (scale.vmin, scale.vmax) == expected


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_the_colour_scale_of_a_constant_has_room(value):
    scale = colour_range([np.full(3, value)])
    assert scale.vmin < value < scale.vmax


def test_decay_of_the_run_and_its_variants(tmp_path):
    write_run(tmp_path, 1, tail=COMPARE)
    write_run(tmp_path / "compare" / "slow", 1, rate=9.0)
    figure = energy_figure(RunData(tmp_path))
    energies, axes = figure.axes
    assert (energies.get_yscale(), axes.get_yscale()) == ("linear", "log")
    # The run goes by the value of what the variant changes.
    assert legend_of(figure) == [f"step = 0.1, rate {RATE:g}", "slow, rate 9", "exponential fit"]
    time, value = lines_of(axes)["slow, rate 9"]
    np.testing.assert_allclose(lines_of(energies)["slow"][1], value - 0.5)
    np.testing.assert_allclose(value, np.exp(-9 * time) + np.exp(-36 * time), rtol=1e-9)


def test_decay_without_a_steady_energy_says_so(tmp_path):
    (text, _) = legend_of(energy_figure(RunData(write_run(tmp_path, 1, static=False))))
    assert r"E(t) - \min E" in text and "not known" in text


def test_decay_of_a_steady_run(tmp_path):
    write_run(tmp_path, 1)
    (tmp_path / "series.csv").write_text(
        "step,time,dt,energy,dissipation\n0,0,0.1,-0.5,0\n1,0.1,0.1,-0.5,0\n"
    )
    _, axes = energy_figure(RunData(tmp_path)).axes
    assert [text.get_text() for text in axes.texts] == ["The energy is steady from the start."]


def test_energy_by_term(tmp_path):
    (axes,) = terms_figure(RunData(write_run(tmp_path, 1))).axes
    curves = lines_of(axes)
    assert list(curves) == ["entropy", "potential", "total"]
    np.testing.assert_allclose(curves["entropy"][1] + curves["potential"][1], curves["total"][1])


@pytest.mark.parametrize(
    ("dimension", "output", "maps"),
    [(1, "", 0), (2, "", 2), (2, "profile = { from = [-0.5, 0], to = [0.5, 0] }", 0), (3, "", 0)],
    ids=["interval", "plane", "profile", "space"],
)
def test_overview(tmp_path, dimension, output, maps):
    write_run(tmp_path, dimension, output, tail=COMPARE)
    write_run(tmp_path / "compare" / "slow", dimension)
    panels = overview_figure(RunData(tmp_path)).axes[:4]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["(a) potential", "(b) density", "(c) steady state", "(d) relative energy"]
    assert sum(isinstance(item, TriMesh) for axes in panels for item in axes.collections) == maps
    names = [text.get_text() for text in panels[2].get_legend().get_texts()]
    assert names == ["step = 0.1", "slow"]


def test_overview_leaves_out_the_steady_state_of_variants_of_another_kind(tmp_path):
    write_run(tmp_path, 2, tail=COMPARE + COMPARE.replace("slow", "line").replace("[[", "\n[["))
    write_run(tmp_path / "compare" / "slow", 2, species=("u", "v"))
    write_run(tmp_path / "compare" / "line", 1)
    panels = overview_figure(RunData(tmp_path)).axes[:4]
    assert panels[2].get_legend() is None
    assert len(panels[3].get_legend().get_texts()) == 4


def test_overview_without_potential_and_steady_state(tmp_path):
    panels = overview_figure(RunData(write_run(tmp_path, 1, static=False))).axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert [title[:3] for title in titles] == ["(a)", "(b)", "(c)"] and titles[0] == "(a) density"
    assert "last density" in titles[1]


def test_an_energy_below_that_of_the_steady_state_is_drawn(tmp_path):
    write_run(tmp_path, 1)
    (tmp_path / "series.csv").write_text(
        "step,time,dt,energy,dissipation\n0,0,0.1,0.5,1\n1,0.1,0.1,-0.4,1\n2,0.2,0.1,-0.75,1\n"
    )
    energy, decay = energy_figure(RunData(tmp_path)).axes
    np.testing.assert_array_equal(lines_of(energy)["$E(t)$"], [[0, 0.1, 0.2], [0.5, -0.4, -0.75]])
    assert lines_of(energy)[r"$E_\infty$"][1][0] == pytest.approx(-0.5)
    (below,) = (data for label, data in lines_of(decay).items() if "below the steady energy" in label)
    np.testing.assert_allclose(below, [[0.2], [0.25]])


def test_the_energy_less_the_work_of_potentials_is_drawn(tmp_path):
    write_run(tmp_path, 1, static=False)
    (tmp_path / "series.csv").write_text(
        "step,time,dt,energy,dissipation,work,energy_less_work\n0,0,0.1,1,1,0,1\n1,0.1,0.1,1.5,1,0.7,0.8\n"
    )
    (axes,) = energy_figure(RunData(tmp_path)).axes
    curves = lines_of(axes)
    np.testing.assert_array_equal(curves["$E(t)$"][1], [1.0, 1.5])
    np.testing.assert_array_equal(curves["$E(t)$ less the work"][1], [1.0, 0.8])


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_variants_are_drawn_beside_the_run(tmp_path, dimension):
    write_run(tmp_path, dimension, tail=COMPARE, times=TIMES)
    write_run(tmp_path / "compare" / "slow", dimension, times=TIMES)
    run = RunData(tmp_path)
    figure = density_figure(run)
    parts = figure.subfigs if dimension > 1 else figure.axes
    titles = [part.get_suptitle() if dimension > 1 else part.get_title() for part in parts]
    assert [title for title in titles if title] == ["step = 0.1", "slow"]
    if dimension == 2:
        pictures = [item for axes in figure.axes for item in axes.collections if isinstance(item, TriMesh)]
        assert len(pictures) == 6 and len({(item.norm.vmin, item.norm.vmax) for item in pictures}) == 1
    panels = terms_figure(run).axes
    assert [axes.get_title() for axes in panels] == ["step = 0.1", "slow"]


@pytest.mark.parametrize(
    ("chosen", "kind", "text"),
    [
        ("", PowerNorm, "(square-root scale)"),
        ('colour_scale = "linear"', Normalize, ""),
        ('colour_scale = "root"', PowerNorm, "(square-root scale)"),
        ('colour_scale = "log"', LogNorm, "(logarithmic scale)"),
    ],
)
def test_the_colour_bar_says_what_scale_it_has(tmp_path, chosen, kind, text):
    mesh = meshes.build(MPI.COMM_SELF, "rectangle", cells=(3, 3)).mesh
    run = write_run(tmp_path, 2, chosen, mesh=mesh, times=(0.0, 1.0), static=False)
    write_scaled(run / "fields.pvd", mesh, {0.0: 1.0, 1.0: 0.2})
    figure = plane_figure(RunData(run))
    pictures = [item for axes in figure.axes for item in axes.collections if isinstance(item, TriMesh)]
    assert {type(item.norm) for item in pictures} == {kind}
    label = figure.axes[-1].get_ylabel()
    assert label == (f"density $\\rho$\n{text}" if text else "density $\\rho$")


def write_scaled(path, mesh, factors):
    """Write the field 1 + x at some times, each with its factor."""
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)), name="rho")
    with io.VTKFile(mesh.comm, path, "w") as file:
        for time, factor in factors.items():
            function.interpolate(lambda x, factor=factor: factor * (0.05 + x[0]))
            file.write_function(function, time)


def test_exact_densities_are_drawn_over_those_of_an_interval(tmp_path):
    run = write_run(tmp_path, 1, tail='[exact]\nrho = "1 + t*x"', times=TIMES)
    (axes, _) = curves_figure(RunData(run)).axes
    drawn = [line for line in axes.get_lines() if line.get_linewidth() == 0.8]
    assert drawn[0].get_label() == "exact" and len(drawn) == len(TIMES)
    for time, line in zip(TIMES, drawn, strict=True):
        np.testing.assert_allclose(line.get_ydata(), 1.0 + time * np.array(line.get_xdata()))


def test_format_resolution_and_size(tmp_path):
    run = write_run(tmp_path / "a", 1, 'figures = ["terms"]\nformat = "svg"')
    (path,) = draw(run)
    assert path.name == "terms.svg" and path.read_text().startswith("<?xml")
    run = write_run(tmp_path / "b", 1, 'figures = ["terms"]\nformat = "pdf"')
    assert draw(run)[0].read_bytes().startswith(b"%PDF")
    run = write_run(tmp_path / "c", 1, 'figures = ["terms"]\ndpi = 50\nsize = [6, 4.5]')
    assert matplotlib.image.imread(draw(run)[0]).shape[:2] == (225, 300)


def test_a_single_term_is_drawn_once(tmp_path):
    write_run(tmp_path, 1)
    (tmp_path / "series.csv").write_text(
        "step,time,dt,energy,entropy,potential,dissipation\n0,0,0.1,0.5,0.5,0,1\n1,0.1,0.1,0.4,0.4,0,1\n"
    )
    (axes,) = terms_figure(RunData(tmp_path)).axes
    assert list(lines_of(axes)) == ["entropy"]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (4, 2), (5, 3), (6, 3)])
def test_rows_of_panels_are_full_where_they_can_be(count, columns):
    assert columns_of(count, 3) == columns


def sentence(directory):
    with pytest.raises((InputError, OutputError)) as caught:
        draw(directory)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_not_a_run_directory(tmp_path):
    assert "is not a run directory" in sentence(tmp_path)
    assert "is not a run directory" in sentence(tmp_path / "nowhere")


def remove_piece(run):
    next(run.glob("fields_p0_*.vtu")).unlink()


def cut_piece(run):
    piece = sorted(run.glob("fields_p0_*.vtu"))[-1]
    piece.write_bytes(piece.read_bytes()[:500])


DAMAGE = {
    "no fields": (lambda run: (run / "fields.pvd").unlink(), "has written no fields"),
    "no time": (
        lambda run: (run / "fields.pvd").write_text("<VTKFile><Collection/></VTKFile>"),
        "names no time",
    ),
    "half a list": (lambda run: (run / "fields.pvd").write_text("<VTKFile><Coll"), "is damaged"),
    "no piece": (remove_piece, "missing or damaged"),
    "half a list of pieces": (
        lambda run: (run / "fields000000.pvtu").write_text("<VTKFile><PUns"),
        "missing or damaged",
    ),
    "half a piece": (cut_piece, "missing or damaged"),
    "no series": (lambda run: (run / "series.csv").unlink(), "cannot be read"),
    "empty series": (lambda run: (run / "series.csv").write_text(""), "not a table"),
    "header only": (lambda run: (run / "series.csv").write_text("time,energy\n"), "has no row"),
    "words": (lambda run: (run / "series.csv").write_text("time,energy\n0,much\n"), "not a table"),
    "ragged": (lambda run: (run / "series.csv").write_text("time,energy\n0,1\n0\n"), "not a table"),
    "no energy": (lambda run: (run / "series.csv").write_text("time\n0\n"), "no column energy"),
    "summary": (lambda run: (run / "summary.json").write_text("{"), "is not a summary"),
    "run file": (lambda run: (run / "run.toml").write_text("[mesh]"), "domain"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_said_in_one_sentence(tmp_path, damage):
    act, text = DAMAGE[damage]
    act(write_run(tmp_path, 1))
    assert text in sentence(tmp_path)
    assert not list(tmp_path.glob("figures/.*"))


def test_a_missing_species(tmp_path):
    write_run(tmp_path, 1, species=("u", "v"))
    write_run(tmp_path / "other", 1, species=("u",), static=False)
    for path in (tmp_path / "other").glob("fields*"):
        path.replace(tmp_path / path.name)
    assert "has no field v" in sentence(tmp_path)


def test_cells_that_are_no_simplices(tmp_path):
    from dolfinx.mesh import CellType, create_unit_square

    write_run(tmp_path, 2)
    mesh = create_unit_square(MPI.COMM_SELF, 2, 2, CellType.quadrilateral)
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)), name="rho")
    with io.VTKFile(mesh.comm, tmp_path / "fields.pvd", "w") as file:
        file.write_function(function, 0.0)
    assert "not simplices" in sentence(tmp_path)


def test_a_profile_for_another_dimension(tmp_path):
    mesh = meshes.build(MPI.COMM_SELF, "interval", cells=4).mesh
    output = 'figures = ["profile"]\nprofile = { from = [0, 0], to = [1, 1] }'
    write_run(tmp_path, 2, output, mesh=mesh)
    assert "points with 2 entries; the mesh needs 1" in sentence(tmp_path)


def test_what_can_be_drawn_is_drawn(tmp_path):
    write_run(tmp_path, 1, times=(0.0,))
    (tmp_path / "fields.pvd").unlink()
    sentence(tmp_path)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["energy.png", "terms.png"]


def test_figures_that_cannot_be_written(tmp_path):
    write_run(tmp_path, 1)
    (tmp_path / "figures").write_text("in the way")
    assert "cannot be made" in sentence(tmp_path)


def test_a_figure_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    (path,) = draw(write_run(tmp_path, 1, 'figures = ["terms"]'))
    before = path.read_bytes()

    def fail(self, part, **options):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    write_series(tmp_path, rate=3.0)
    assert "No space left on device" in sentence(tmp_path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["terms.png"]

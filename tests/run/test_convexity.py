"""The table [convexity] of a run file."""

import numpy as np
import pytest
from mpi4py import MPI

from fem_models.config.io import load
from fem_models.core.errors import InputError
from fem_models.run.build import build_mesh

TEXT = """
[mesh]
domain = "interval"
lower = -6
upper = 6
cells = 400
[system]
name = "two-component"
epsilon = 0.3
lambda = 2
centers = [[0], [0]]
coupling = "rho1*rho2"
[initial]
rho1 = "exp(-x**2)"
rho2 = "exp(-(x - w)**2)"
mass = {{ rho1 = 3, rho2 = 0.5 }}
[parameters]
w = 0.2
[time]
end = 1
step = 0.1
{tail}
"""


def convexity_table(folder, tail):
    path = folder / "run.toml"
    if MPI.COMM_WORLD.rank == 0:
        path.write_text(TEXT.format(tail=tail))
    MPI.COMM_WORLD.Barrier()
    config = load(path)
    return config.system.problem(config, build_mesh(MPI.COMM_WORLD, config.mesh)).tables["convexity.csv"]


@pytest.mark.parallel
def test_rows(shared_tmp_path):
    rows = convexity_table(shared_tmp_path, "[convexity]\nfrequencies = [2, 30]\namplitude = 0.25")
    assert [row["k"] for row in rows] == [2.0, 30.0]
    x = np.linspace(-8.0, 8.0, 100_001)
    h = x[1] - x[0]
    for row in rows:
        k = row["k"]
        # With ρ⁰ of the masses given: λ∫ρ₁ - ε∫ρ₁'ρ₂', and ∫ 2η₁² + 2η₂² + 2εη₁η₂.
        base = 3 / np.sqrt(np.pi) * np.exp(-(x**2)), 0.5 / np.sqrt(np.pi) * np.exp(-((x - 0.2) ** 2))
        wave = 0.25 * np.sin(k * x)
        slopes = [np.gradient(b * (1 + wave), h, edge_order=2) for b in base]
        displacement = 2 * (base[0] * (1 + wave)).sum() * h - 0.3 * (slopes[0] * slopes[1]).sum() * h
        first, second = (b * wave for b in base)
        flat = (2 * first**2 + 2 * second**2 + 0.6 * first * second).sum() * h
        assert row["displacement"] == pytest.approx(displacement, rel=1e-3)
        assert row["flat"] == pytest.approx(flat, rel=1e-5)
        assert row["flat_least"] == pytest.approx(1 - 0.3 / 2)


def test_none_without_the_table(tmp_path):
    assert convexity_table(tmp_path, "") == []


def test_a_coarse_mesh_is_refused_with_the_key(tmp_path):
    with pytest.raises(InputError, match=r"^\[convexity\]: The frequencies must be positive and at most 52"):
        convexity_table(tmp_path, "[convexity]\nfrequencies = [100]")

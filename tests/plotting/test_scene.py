"""Scenes of 3D fields: cells that share no points look like those that do."""

import numpy as np
from matplotlib.colors import Normalize
from mpi4py import MPI

from fem_models.meshes.domains import build
from fem_models.plotting.scene import render
from fem_models.results.fields import Snapshot


def test_cells_with_points_of_their_own_look_like_cells_that_share_them():
    mesh = build(MPI.COMM_SELF, "box", cells=[4, 4, 4]).mesh
    points, cells = mesh.geometry.x, mesh.geometry.dofmaps[0].astype(np.int64)
    shared = Snapshot(points, cells, {"rho": points.sum(axis=1)})
    # Of neighbours, corners differ by rounding.
    own = points[cells].reshape(-1, 3) * (1.0 + 1e-15 * np.arange(cells.size)[:, None] / cells.size)
    apart = Snapshot(own, np.arange(cells.size).reshape(cells.shape), {"rho": own.sum(axis=1)})
    pictures = [render(snapshot, "rho", Normalize(0.0, 3.0)).astype(int) for snapshot in (shared, apart)]
    assert pictures[0].shape == pictures[1].shape
    different = np.abs(pictures[0] - pictures[1]).max(axis=2) > 30
    assert different.mean() < 1e-3

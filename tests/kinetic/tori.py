"""Tori as meshes of identified vertices."""

from itertools import permutations, product

import basix.ufl
import numpy as np
from dolfinx import graph
from dolfinx.common import IndexMap
from dolfinx.mesh import Mesh, create_geometry, create_mesh
import dolfinx
from mpi4py import MPI


def torus(comm, cells, lengths=None):
    dim = len(cells)
    lengths = np.ones(dim) if lengths is None else np.array(lengths)
    corners, where = [], []
    if comm.rank == 0:
        strides = np.cumprod([1, *cells[:0:-1]])[::-1]
        for index in product(*map(range, cells)):
            for order in permutations(range(dim)):
                place = np.array(index)
                path = [place.copy()]
                for a in order:
                    place[a] += 1
                    path.append(place.copy())
                path = np.array(path)
                where.append(path / np.array(cells) * lengths)
                corners.append((path % np.array(cells)) @ strides)
    kind = {1: "interval", 2: "triangle", 3: "tetrahedron"}[dim]
    element = basix.ufl.element("Lagrange", kind, 1, shape=(dim,))
    total = int(np.prod(cells))
    x = np.array(list(product(*[np.arange(n) / n for n in cells]))) if comm.rank == 0 else np.empty((0, dim))
    given = np.array(corners, dtype=np.int64).reshape(-1, dim + 1)
    mesh = create_mesh(comm, given, element, x)
    where = comm.bcast(np.array(where))
    topology = mesh.topology
    imap = topology.index_map(dim)
    local, ghosts = imap.size_local, imap.num_ghosts
    originals = topology.original_cell_index
    n = dim + 1
    gl = imap.ghosts
    node_ghosts = (gl[:, None] * n + np.arange(n)).ravel().astype(np.int64)
    owners = np.repeat(imap.owners, n).astype(np.int32)
    nodes = IndexMap(comm, local * n, node_ghosts, owners, 1234)
    count = local + ghosts
    xs = np.zeros((count * n, 3))
    xs[:, :dim] = where[originals].reshape(-1, dim)
    dofs = np.arange(count * n, dtype=np.int32).reshape(count, n)
    cmap = dolfinx.fem.coordinate_element(dolfinx.mesh.CellType[kind], 1)
    inputs = (originals[:, None] * n + np.arange(n)).ravel().astype(np.int64)
    geometry = create_geometry(nodes, dofs, cmap, xs[:, :dim].copy(), inputs)
    cpp = dolfinx.cpp.mesh.Mesh_float64(comm, topology._cpp_object, geometry._cpp_object)
    return Mesh(cpp, dolfinx.mesh.ufl.Mesh(element))

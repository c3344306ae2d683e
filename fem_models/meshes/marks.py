"""Named parts of a distributed mesh: boundaries (sets of facets) and regions (sets of cells).

Lengths are in the units of the mesh, dimensionless in the examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from dolfinx import fem, graph, io, la
from dolfinx import mesh as dmesh

from fem_models.core.checks import named
from fem_models.core.errors import InputError
from fem_models.meshes.simplices import CELL_NAME, Simplices
from fem_models.meshes.torus import lengths_of

_Entities = npt.NDArray[np.int32]

# Facets are on a side of a brick if their vertices are that close to it, relative to the largest extent.
_ON_SIDE = 1e-6
_SIDES = (("left", "right"), ("bottom", "top"), ("front", "back"))


@dataclass(frozen=True)
class MarkedMesh:
    """A mesh and its named parts; every rank has the same names.

    Attributes:
        mesh: The mesh.
        boundaries: Facets of this rank on the boundary, by name; int32, shape (facets,), sorted. "boundary"
            are all of them unless a physical group of the mesh file has this name.
        regions: Cells by name, ghosts included; int32, shape (cells,), sorted.
        notes: Sentences about what may not be meant, the same on all ranks.
        interfaces: Facets of this rank inside the domain, by name, likewise: where a field may be given.
    """

    mesh: dmesh.Mesh
    boundaries: Mapping[str, _Entities]
    regions: Mapping[str, _Entities]
    notes: tuple[str, ...] = ()
    interfaces: Mapping[str, _Entities] = MappingProxyType({})

    @property
    def lengths(self) -> tuple[float, ...] | None:
        """The lengths of a torus, in the units of the mesh; None for every other mesh."""
        return lengths_of(self.mesh)

    def facets(self, name: str) -> _Entities | None:
        """The facets of this rank with a name, at the boundary and inside the domain.

        Args:
            name: The name.

        Returns:
            The facets, int32, sorted; None where the mesh has no facets of that name.
        """
        found = [parts[name] for parts in (self.boundaries, self.interfaces) if name in parts]
        return np.sort(np.concatenate(found)) if found else None

    def __repr__(self) -> str:
        boundaries, regions = ", ".join(self.boundaries), ", ".join(self.regions) or "none"
        kind = self.mesh.topology.cell_name()
        if self.lengths:
            return f"MarkedMesh of {kind}s on a torus of {' x '.join(f'{x:g}' for x in self.lengths)}"
        return f"MarkedMesh of {kind}s (boundaries: {boundaries}; regions: {regions})"


def mesh_of(mesh: MarkedMesh | dmesh.Mesh) -> dmesh.Mesh:
    """The DOLFINx mesh of a mesh with or without named parts, once it is known to be one of simplices.

    Args:
        mesh: A mesh of `fem_models.meshes.domains` or of DOLFINx.

    Returns:
        The DOLFINx mesh.

    Raises:
        InputError: Something else, cells that are not intervals, triangles or tetrahedra, curved cells, or a
            surface in a space of more dimensions.
    """
    plain = mesh.mesh if isinstance(mesh, MarkedMesh) else mesh
    if not isinstance(plain, dmesh.Mesh):
        raise InputError(f"The mesh must come from fm.mesh(…) or be one of DOLFINx, not {named(mesh)}.")
    kind, dim = plain.topology.cell_name(), plain.topology.dim
    if kind not in CELL_NAME.values():
        raise InputError(f"The mesh has cells of kind {kind}: use intervals, triangles or tetrahedra.")
    if plain.geometry.dim != dim:
        raise InputError(
            f"The mesh has cells of dimension {dim} in a space of dimension {plain.geometry.dim}: the two "
            "must agree."
        )
    if plain.geometry.cmaps[0].degree != 1:
        raise InputError("The mesh has curved cells: use straight ones, of the first order.")
    return plain


def marked(mesh: MarkedMesh | dmesh.Mesh) -> MarkedMesh:
    """A mesh with its named parts. Collective.

    Args:
        mesh: A mesh of `fem_models.meshes.domains`, or one of DOLFINx, whose only part is "boundary".

    Returns:
        The mesh and its parts.

    Raises:
        InputError: As `mesh_of` does.
    """
    plain = mesh_of(mesh)
    return (
        mesh if isinstance(mesh, MarkedMesh) else MarkedMesh(plain, {"boundary": _exterior_facets(plain)}, {})
    )


def mark_groups(mesh: dmesh.Mesh, whole: Simplices | None) -> MarkedMesh:
    """Mark the groups of facets and cells that the mesh was made with. Collective.

    A group of facets names those of it at the boundary, and those inside the domain as an interface.

    Args:
        mesh: The mesh, made of the points and cells of `whole` in their order.
        whole: The whole mesh on rank 0, None on the others.

    Returns:
        The mesh with "boundary" and the groups of facets as boundaries and interfaces, the groups of cells as
        regions.
    """
    dim = mesh.topology.dim
    facets, cells = ({}, {}) if whole is None else (whole.boundaries, whole.regions)
    facet_names, cell_names = mesh.comm.bcast((list(facets), list(cells)), root=0)

    exterior = _exterior_facets(mesh)
    boundaries: dict[str, _Entities] = {"boundary": exterior}
    interfaces: dict[str, _Entities] = {}
    for name in facet_names:
        found = _entities_of_rank(mesh, dim - 1, facets.get(name, np.empty((0, dim), dtype=np.int64)))
        at_boundary = np.isin(found, exterior)
        for parts, marked in ((boundaries, found[at_boundary]), (interfaces, found[~at_boundary])):
            if mesh.comm.allreduce(len(marked)):
                parts[name] = np.sort(marked)

    regions = {}
    for name in cell_names:
        corners = np.empty((0, dim + 1), dtype=np.int64) if whole is None else whole.cells[cells[name]]
        marks = la.vector(mesh.topology.index_map(dim), dtype=np.int32)
        marks.array[_entities_of_rank(mesh, dim, corners)] = 1
        marks.scatter_forward()
        regions[name] = np.flatnonzero(marks.array).astype(np.int32)
    return MarkedMesh(mesh, boundaries, regions, interfaces=interfaces)


def mark_sides(
    mesh: dmesh.Mesh, corner: npt.NDArray[np.float64], extents: npt.NDArray[np.float64]
) -> MarkedMesh:
    """Mark the sides of an interval, rectangle or box. Collective.

    Args:
        mesh: The mesh.
        corner: Its lower corner, shape (dim,).
        extents: Its side lengths, shape (dim,).

    Returns:
        The mesh with the boundaries left and right (low and high x), bottom and top (y), front and back (z),
        as far as it has them, and no regions.
    """
    exterior = _exterior_facets(mesh)
    corners = mesh.geometry.x[dmesh.entities_to_geometry(mesh, mesh.topology.dim - 1, exterior)]
    tolerance = _ON_SIDE * float(extents.max())
    boundaries = {"boundary": exterior}
    for axis, names in enumerate(_SIDES[: len(corner)]):
        for name, level in zip(names, (corner[axis], corner[axis] + extents[axis]), strict=True):
            on_side = np.all(np.abs(corners[:, :, axis] - level) <= tolerance, axis=1)
            boundaries[name] = exterior[on_side]
    return MarkedMesh(mesh, boundaries, {})


def boundary_nodes(space: fem.FunctionSpace, facets: _Entities) -> _Entities:
    """Nodes on a part of the boundary, or on an interface. Collective.

    Args:
        space: The scalar P1 space.
        facets: Facets of this rank, as in `MarkedMesh.facets`.

    Returns:
        Local nodes, ghosts included, int32, sorted: those that have a marked facet on any rank.
    """
    dim = space.mesh.topology.dim
    space.mesh.topology.create_connectivity(dim - 1, dim)
    marks = la.vector(space.dofmap.index_map, dtype=np.int32)
    marks.array[fem.locate_dofs_topological(space, dim - 1, facets, remote=False)] = 1
    marks.scatter_reverse(la.InsertMode.add)
    marks.scatter_forward()
    return np.flatnonzero(marks.array).astype(np.int32)


def _exterior_facets(mesh: dmesh.Mesh) -> _Entities:
    """The facets of this rank with one cell, sorted."""
    dim = mesh.topology.dim
    mesh.topology.create_connectivity(dim - 1, dim)
    mesh.topology.create_connectivity(dim - 1, 0)
    return np.sort(dmesh.exterior_facet_indices(mesh.topology))


def _entities_of_rank(mesh: dmesh.Mesh, dim: int, corners: npt.NDArray[np.int64]) -> _Entities:
    """Entities of this rank, from the vertices that rank 0 knows in the numbers the mesh was made with."""
    mesh.topology.create_connectivity(dim, 0)
    mesh.topology.create_connectivity(dim, mesh.topology.dim)
    values = np.zeros(len(corners), dtype=np.int32)
    vertices, found = io.distribute_entity_data(mesh, dim, corners, values)
    entities = dmesh.meshtags_from_entities(mesh, dim, graph.adjacencylist(vertices), found).indices
    return entities[(entities >= 0) & (entities < mesh.topology.index_map(dim).size_local)]

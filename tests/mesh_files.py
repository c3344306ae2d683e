"""Mesh files that tests write."""


def two_grids(path, gap=0.0):
    """Two squares side by side that share no nodes, written in MSH 2.2."""
    nodes, cells = [], []
    for left in (0.0, 0.5 + gap):
        first = len(nodes) + 1
        nodes += [(left + 0.5 * i, float(j)) for j in (0, 1) for i in (0, 1)]
        cells += [(first, first + 1, first + 3), (first, first + 3, first + 2)]
    lines = ["$MeshFormat", "2.2 0 8", "$EndMeshFormat", "$Nodes", str(len(nodes))]
    lines += [f"{k} {x} {y} 0" for k, (x, y) in enumerate(nodes, start=1)]
    lines += ["$EndNodes", "$Elements", str(len(cells))]
    lines += [f"{k} 2 2 1 1 {a} {b} {c}" for k, (a, b, c) in enumerate(cells, start=1)]
    path.write_text("\n".join([*lines, "$EndElements", ""]))

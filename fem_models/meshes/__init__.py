"""Meshes: domains, files, gmsh, named parts, checks."""

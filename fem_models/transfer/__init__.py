"""Densities from elsewhere at the nodes of a mesh: of runs, files, images and functions on other meshes."""

"""Everything that knows about elements: meshes, edge-averaged fluxes, lumping and mixed pairs."""

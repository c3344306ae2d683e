"""P1 at the nodes: edges, stiffness, convolutions, fluxes, mobilities."""

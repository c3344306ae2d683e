"""PETSc solvers: options, the choice of a linear solver, Newton's method and its failure report."""

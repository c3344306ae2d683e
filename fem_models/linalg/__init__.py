"""PETSc: options, callbacks, linear solvers, Newton's method, eigenvalues."""

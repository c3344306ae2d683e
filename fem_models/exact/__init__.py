"""Closed forms and references of spectral accuracy to hold computations against.

`profiles` has densities, `distances` Wasserstein distances and `jko_steps` minimising movements between them,
`barenblatt`, `fast_diffusion` and `fokker_planck` solutions in time, `coulomb` and `poisson_boltzmann`
potentials of charges, `spectral` solutions of one-dimensional systems, and `rates` decay rates. All is NumPy
and SciPy alone: points x have shape (d, n), and rows beyond the dimension of a solution do not count.
Everything is dimensionless.
"""

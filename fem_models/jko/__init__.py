"""Paths of least action: JKO steps, Wasserstein distances and geodesics between densities.

A JKO step from ρ^old minimises W₂²(ρ, ρ^old)/(2Δt) + E(ρ), (2.6) of Bruna, Burger and Carrillo. After Benamou
and Brenier it is the minimum, over densities ρ and velocities U on a domain D and for s in (0, Δt), of

    ½ ∫₀^Δt ∫ ρ|U|² dx ds + E(ρ(Δt))                                   (2.7a)
    under  ∂s ρ + div(ρU) = 0      in D × (0, Δt)                      (2.7b)
           U·n = 0                 on ∂D × (0, Δt)                     (2.7c)
           ρ = ρ^old               at s = 0,  free at s = Δt           (2.7d), (2.7e)

The multiplier Φ of (2.7b) has

    ∇Φ = U                         in D × (0, Δt)                      (2.8a)
    Φ = -δE/δρ                     at s = Δt                           (2.8b)
    ∂s Φ + ½|∇Φ|² = 0              in D × (0, Δt)                      (2.8c)

The code has the potential φ = -Φ, so that φ = δE/δρ at the end and particles move with the velocity -∇φ. The
optimality conditions are then, for particles (2.9), for densities (2.10) and in general (2.11),

    ∂s ρ - div(ρ∇φ) = 0            in D × (0, Δt)                      (2.9a), (2.10a), (2.11a)
    ∂s φ - ½|∇φ|² = 0              in D × (0, Δt)                      (2.9b), (2.10b), (2.11b)
    ∇φ·n = 0                       on ∂D × (0, Δt)                     (2.9c), (2.10c), and ρ times it (2.11c)
    ρ = ρ^old                      at s = 0                            (2.9d), (2.10d), (2.11d)
    φ = δE/δρ                      at s = Δt                           (2.9e), (2.10e), (2.11e)

Where they are:

    (2.6)             `jko_step`: the step, and what it promises; `movement`: what a step cost
    (2.7)             `paths`: the action of densities on slabs of time, and its saddle point
    (2.9a)–(2.9d)     `paths`: residual and Jacobian
    (2.9e)            `path_ends`: by an energy, or a given density in its place
    section 2.4       `uniqueness`: the Lasry–Lions identity between two candidates
    solvers           `path_solver`: `path_newton` (ρ ≥ 0 by complementarity) and `interior_point` (ρ ≥ 0 by a
                      barrier), on `path_problem` (scales, errors) and `path_linear` (linear systems)

`wasserstein` has the distance and the geodesic between two given densities, `jko_bdf2` steps of second order
from densities beyond the end of a geodesic (`geodesic_extrapolation`). Notation in code:

    ρ^k, φ^k          densities at the ends of slabs, potentials in slabs, k = 1..S
    S, δ, α           `slabs`, `delta`, `weight`: number of slabs, length Δt/S, weight of ρ^k inside slab k
    m                 `volumes`: nodal volumes
    s                 the multiplier of ρ ≥ 0, `slack`
    a(ρ; φ)           the mobility, ∫ρ|∇φ|²; `fluxes` is half its derivative by φ, `squares` that by ρ

All quantities are dimensionless.
"""

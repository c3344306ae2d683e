"""The linearised JKO problem: the optimality conditions of a JKO step, linearised around a pair (q, φ).

The equations are those of Bruna, Burger and Carrillo, section 2.5, on a domain D and for s in (0, Δt). With a
density q > 0 and a potential φ, find the perturbation h of the density and the multiplier f with

    0 = ∂s h + div(q∇f + h∇φ)       in D × (0, Δt)        (2.12a)
    0 = ∂s f + ∇φ·∇f                in D × (0, Δt)        (2.12b)
    0 = (q∇f + h∇φ)·n               on ∂D × (0, Δt)       (2.12c)
    h = h₀                          in D, at s = 0        (2.12d)
    f = -(E'' h + C q)              in D, at s = Δt       (2.12e), where the paper has E'' = 1/q

They are the conditions for a minimum, over perturbations h and fluxes g, of

    ½ ∫₀^Δt ∫ |g|²/q dx ds + ½ ∫ E'' h(Δt)² dx + C ∫ h(Δt) q(Δt) dx                (2.13)

under the constraint

    ∂s h + div(g + h∇φ) = 0,                                                      (2.14)

with f for its multiplier, and g = q∇f at the minimum. Where each formula is discretised:

    (2.12a), (2.14)   `problem`: in slabs of time; `constraint`: the fluxes g, with (2.12c); `slab_transport`:
                      div(h∇φ)
    (2.12b)           `problem`: the transposed of the transport of (2.12a)
    (2.12c)           `constraint`, `elements`: natural for continuous potentials, in the space of
                      Raviart–Thomas fluxes for the others
    (2.12d)           `loads`: the L² projection of h₀; sources in all equations
    (2.12e)           `terminal_costs`: E'' of the paper, or the second variation of an energy
    (2.13)            `loads`: the value at the minimum
    Theorem 2.2       `inf_sup`: the inf-sup constants of pairs of elements, that of (2.14) included

Notation in code:

    h, f, g           perturbation of the density; multiplier, which is called the potential; flux
    q, φ              `q`, `phi`: density and potential of the flow, with the velocity ∇φ as in the paper; the
                      potentials of `fem_models.jko` have the other sign
    p                 the multiplier at the end, s = Δt
    E''               `curvature`
    S, δ, a           `slabs`, `delta`, `a`: number of slabs, length Δt/S, weight of h_k inside slab k
    M, M_{1/E''}      `mass`, `end_mass`: ∫uv and ∫uv/E''
    A_k               `transports`: ∫h∇φ·∇v of slab k, stabilised
    G_k, B, K_k       `fluxes`: ∫g·w/q, b(g, v), and B G_k⁻¹ Bᵀ

`problem.LinearisedJko` has the matrices, `loads.LoadAssembly` the right-hand sides. `solver.LinearisedSolver`
solves by conjugate gradients for f in the last slab (`reduced`), with the preconditioner of `smooth_part`,
`followed_diffusion` and `hybridised`; `saddle_point.SaddlePoint` solves all equations at once by MUMPS.
`perturbation` gives what comes out as functions over time. All quantities are dimensionless.
"""

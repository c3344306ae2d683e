"""BGK with a collision rate of the density, and its diffusive limit.

Evans, Morris and Yoldaş, equation (1.2): ∂t f + ε⁻¹ v·∇f = ε⁻² λ(ρ) (ρM - f) on the torus, with the
Maxwellian M and λ(ρ) = ρ^α or any other positive rate; and the kinetic Fokker–Planck equation (1.5) in the
same scaling. With h = f/M = Σ h_n ψ_n over Hermite functions ψ_n the modes with even |n| are continuous and
those with odd |n| are discontinuous in x.

Their equation (1.4), whose Maxwellian has the velocity and the temperature of f, is not here: it has no
identity in L²(M⁻¹), and its expansion around M diverges for temperatures of 2 and more.
"""

"""The peers' benchmark in NGSolve: P1 Galerkin, backward Euler, Newton, UMFPACK. Needs NGSolve only.

    python runs/benchmarks/peers_ngsolve.py MAXH STEPS

Prints one line of JSON. `peers.py` starts it; it is a script of its own because NGSolve may live in another
environment. The time is that of the loop alone.
"""

import json
import math
import sys
import time

import netgen.geom2d
import ngsolve as ngs

START, END, C = 0.01, 0.03, 0.05


def main(maxh: float, steps: int) -> None:
    """Run the benchmark."""
    mesh = ngs.Mesh(netgen.geom2d.unit_square.GenerateMesh(maxh=maxh))
    space = ngs.H1(mesh, order=1)
    trial, test = space.TnT()
    density, old = ngs.GridFunction(space), ngs.GridFunction(space)
    t = ngs.Parameter(START)
    square = (ngs.x - 0.5) ** 2 + (ngs.y - 0.5) ** 2
    profile = C - square / (16.0 * ngs.sqrt(t))
    exact = ngs.IfPos(profile, profile, 0.0) / ngs.sqrt(t)

    tau = (END - START) / steps
    form = ngs.BilinearForm(space)
    form += ((trial - old) * test + 2.0 * tau * trial * ngs.grad(trial) * ngs.grad(test)) * ngs.dx
    # As for the other code: the residual in units of mass, against the norm of the nodal masses.
    weights = ngs.LinearForm(test * ngs.dx).Assemble().vec.FV().NumPy().copy()
    density.Set(exact)
    old.vec.data = density.vec
    tolerance = 1e-10 * math.sqrt(((weights * density.vec.FV().NumPy()) ** 2).sum())
    residual, direction = density.vec.CreateVector(), density.vec.CreateVector()

    # Warm up, as for the other code, and keep the symbolic factorisation.
    form.AssembleLinearization(density.vec)
    inverse = form.mat.Inverse(inverse="umfpack")
    saved, newton = [density.vec.FV().NumPy().copy()], 0
    begin = time.perf_counter()
    for _ in range(steps):
        old.vec.data = density.vec
        for _ in range(50):
            form.Apply(density.vec, residual)
            if ngs.Norm(residual) <= tolerance:
                break
            form.AssembleLinearization(density.vec)
            inverse.Update()
            direction.data = inverse * residual
            density.vec.data -= direction
            newton += 1
        else:
            sys.exit("NGSolve: Newton's method did not converge.")
        saved.append(density.vec.FV().NumPy().copy())
    seconds = time.perf_counter() - begin

    errors = []
    for n, values in enumerate(saved):
        density.vec.FV().NumPy()[:] = values
        t.Set(START + n * tau)
        gap = density - exact
        errors.append(ngs.Integrate(ngs.IfPos(gap, gap, -gap), mesh, order=4))
    print(
        json.dumps(
            {
                "version": ngs.__version__,
                "cells": mesh.ne,
                "steps": steps,
                "error": max(errors),
                "minimum": float(min(values.min() for values in saved)),
                "newton": newton / steps,
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))

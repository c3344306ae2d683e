"""Ways to take a step, and steady states."""

from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

SCHEMES = {scheme.name: scheme for scheme in (BackwardEuler, Bdf2)}

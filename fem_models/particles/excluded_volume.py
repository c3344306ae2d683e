"""The excluded volume of an interaction: what short-range repulsion leaves in the macroscopic equation.

Brownian particles with the pair potential u(|x - y|/ε) diffuse, to first order in their volume fraction, with
the coefficient 1 + α_u (N-1) ε^d p (Bruna, Burger and Carrillo 2020, equations (1.6) and (3.26)), where

    α_u = ∫_{R^d} (1 - exp(-u(|x|))) dx.

Hard spheres of diameter ε are u = ∞ for |x| < 1: α_u is the volume of the unit ball.
"""

import difflib
import itertools
import math
from collections.abc import Callable
from typing import NoReturn

import numpy as np
from scipy.integrate import quad

from fem_models.core.checks import is_number, positive, whole
from fem_models.core.errors import InputError
from fem_models.expressions import Expression
from fem_models.particles.interactions import INTERACTIONS

Potential = Callable[[np.ndarray], np.ndarray]

# The integral over s = log r is cut into panels between the radii e^-46 and e^46 (1e-20 to 1e20). What
# lies outside is added from the powers of r that the integrand follows at the two ends.
_PANELS = np.arange(-368, 369) / 8.0
_SAMPLES = 8
_MOST_JUMPS = 200
_TOLERANCE = 1e-9


def excluded_volume(interaction: str | Potential, dimension: int, exponent: float | None = None) -> float:
    """The excluded volume α_u of a pair potential, Bruna, Burger and Carrillo (2020), equation (3.26).

    Args:
        interaction: "hard-sphere", "yukawa" (u = exp(-r)/r), "power-law" (u = r^-exponent), an expression in
            r such as "where(r < 2, 3, 0)", or a function that maps radii of shape (n,) to potentials of shape
            (n,). Radii are in units of the range ε, potentials in units of the temperature; infinite
            potentials are walls, negative (attractive) ones are allowed. Wells and shells thinner than one
            per cent of their radius can be missed.
        dimension: 1, 2 or 3.
        exponent: The power of the power law, larger than the dimension.

    Returns:
        The excluded volume in units of ε^dimension, to 8 digits or better.

    Raises:
        InputError: Unknown interaction, a dimension or an exponent out of range, a potential that is NaN
            somewhere, or an integral that diverges or cannot be computed.
    """
    if isinstance(dimension, bool) or dimension not in (1, 2, 3):
        raise InputError(f"dimension must be 1, 2 or 3, not {dimension!r}.")
    if exponent is not None and interaction != "power-law":
        raise InputError('exponent only goes with the interaction "power-law": leave it out.')
    sphere = dimension * _ball_volume(dimension)
    if interaction == "hard-sphere":
        return _ball_volume(dimension)
    if interaction == "power-law":
        power = _checked_exponent(exponent, dimension)
        # With q = r^power the potential is 1/q for every exponent, and the dimension becomes a fraction.
        return sphere / power * _radial_integral(lambda q: 1.0 / q, dimension / power)
    if interaction == "yukawa":
        return sphere * _radial_integral(lambda r: np.exp(-r) / r, dimension)
    return sphere * _radial_integral(_potential(interaction), dimension)


def nonlinear_coefficient(
    interaction: str | Potential,
    dimension: int,
    particles: int,
    diameter: float,
    exponent: float | None = None,
) -> float:
    """The coefficient α_u (N-1) ε^d of the nonlinear diffusion, Bruna, Burger and Carrillo (2020), (1.6).

    Args:
        interaction: As for `excluded_volume`.
        dimension: 1, 2 or 3.
        particles: The number N of particles, at least 1.
        diameter: The diameter, or the range of the interaction, ε > 0, in units of length.
        exponent: As for `excluded_volume`.

    Returns:
        The coefficient, in units of length^dimension; times a probability density it is dimensionless.

    Raises:
        InputError: As for `excluded_volume`, or a number of particles or a diameter out of range.
    """
    whole(particles, "particles", least=1)
    positive(diameter, "diameter")
    return excluded_volume(interaction, dimension, exponent) * (particles - 1) * diameter**dimension


def _ball_volume(dimension: int) -> float:
    return math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)


def _checked_exponent(exponent: float | None, dimension: int) -> float:
    if exponent is None or not is_number(exponent) or not math.isfinite(exponent):
        raise InputError(f'the interaction "power-law" needs an exponent, a finite number, not {exponent!r}.')
    if exponent <= dimension:
        raise InputError(
            f"exponent must be larger than the dimension {dimension}, not {exponent!r}: the excluded volume "
            "of a potential with a longer range is infinite."
        )
    return float(exponent)


def _potential(interaction: str | Potential) -> Potential:
    """A function of radii from an expression or from a user's function."""
    if isinstance(interaction, str):
        close = difflib.get_close_matches(interaction.lower(), INTERACTIONS, n=1, cutoff=0.7)
        if close:
            raise InputError(f'unknown interaction "{interaction}": did you mean "{close[0]}"?')
        names = ", ".join(INTERACTIONS)
        formula = Expression(
            interaction, variables=("r",), where=f"interaction (one of {names}, or a formula)"
        )
        return lambda r: formula.numpy(r[None, :], fields={"r": r})
    if not callable(interaction):
        raise InputError(f"interaction must be a name, an expression or a function, not {interaction!r}.")
    return interaction


def _integrand(potential: Potential, dimension: float, s: np.ndarray) -> np.ndarray:
    """(1 - exp(-u(r))) r^dimension at r = e^s: the integrand with respect to s."""
    r = np.exp(s)
    with np.errstate(all="ignore"):
        u = np.asarray(potential(r), dtype=np.float64)
        if u.shape not in ((), r.shape):
            raise InputError(
                f"the interaction must return shape {r.shape} for radii of this shape, not {u.shape}."
            )
        values = np.broadcast_to(-np.expm1(-u) * r**dimension, r.shape)
    if not np.all(np.isfinite(values)):
        where = r[~np.isfinite(values)][0]
        raise InputError(
            f"the interaction has no finite excluded volume: near r = {where:.3g} its potential is not a "
            "number or too attractive."
        )
    return values


def _radial_integral(potential: Potential, dimension: float) -> float:
    """∫_0^∞ (1 - exp(-u(r))) r^(dimension - 1) dr, for any real dimension > 0.

    Over s = log r the integrand decays exponentially at both ends, also for potentials with algebraic tails.
    """
    ends = (_PANELS[0], _PANELS[-1])
    s = np.linspace(*ends, _SAMPLES * (len(_PANELS) - 1) + 1)
    samples = _integrand(potential, dimension, s)
    scale = float(np.mean(np.abs(samples)) * (ends[1] - ends[0]))  # about the integral of |…|
    outside = sum(_end(potential, dimension, end, -np.sign(end), scale) for end in ends)
    _check_digits(samples, s, dimension, scale)
    if scale == 0.0:
        return 0.0

    def integrand(point: float) -> float:
        return float(_integrand(potential, dimension, np.array([point]))[0])

    jumps = _jumps(potential, dimension, s, samples, 1e-11 * scale)
    if len(jumps) > _MOST_JUMPS:
        _too_rough()
    edges = np.union1d(_PANELS, jumps)
    large = np.abs(samples) > 1e-17 * scale
    values, total_error = [outside], 0.0
    for a, b in itertools.pairwise(edges):
        if not np.any(large[np.searchsorted(s, a, "right") - 1 : np.searchsorted(s, b) + 1]):
            continue
        value, error, *_ = quad(integrand, a, b, epsabs=1e-14 * scale, epsrel=1e-11, limit=100, full_output=1)
        values.append(value)
        total_error += error
        if total_error > 10 * _TOLERANCE * scale:
            _too_rough()
    return math.fsum(values)


def _too_rough() -> NoReturn:
    raise InputError(
        "the excluded volume of this interaction cannot be computed to 8 digits: its potential oscillates or "
        "jumps too often."
    )


def _jumps(
    potential: Potential, dimension: float, s: np.ndarray, samples: np.ndarray, threshold: float
) -> np.ndarray:
    """Where the integrand jumps: quadrature misses jumps close to the edge of a panel, so they become edges.

    Every interval between samples is halved, keeping the half with the larger change; what has not become
    small when the interval is a few units in the last place wide is a jump.
    """
    left, right, low, high = s[:-1], s[1:], samples[:-1], samples[1:]
    for _ in range(44):
        middle = (left + right) / 2.0
        value = _integrand(potential, dimension, middle)
        in_left = np.abs(value - low) > np.abs(high - value)
        left, low = np.where(in_left, left, middle), np.where(in_left, low, value)
        right, high = np.where(in_left, middle, right), np.where(in_left, value, high)
    return right[np.abs(high - low) > threshold]


def _end(potential: Potential, dimension: float, end: float, inward: float, scale: float) -> float:
    """The integral beyond an end, where the integrand is c exp(-rate |s|), from its values at three points.

    The rate is an exponent of r, and rounding leaves about 1e-16 of it.
    """
    values = _integrand(potential, dimension, end + inward * np.array([0.0, 2.0, 4.0]))
    if values[0] == 0.0:
        return 0.0
    if not (np.all(values > 0) or np.all(values < 0)):
        _diverges("does not settle to a power of r", end)
    rate, further_in = np.log(np.abs(values[1:] / values[:-1])) / 2.0
    if rate < 1e-9 * dimension:
        _diverges("decays too slowly" if end > 0 else "is too attractive", end)
    beyond = float(values[0] / rate)
    if abs(rate - further_in) * abs(beyond) > _TOLERANCE * rate * (scale + abs(beyond)):
        _diverges("does not settle to a power of r", end)
    return beyond


def _diverges(reason: str, end: float) -> NoReturn:
    place = "as r grows, where it must fall faster than r^-dimension" if end > 0 else "as r goes to 0"
    raise InputError(
        f"the excluded volume of this interaction is infinite or unknown: its potential {reason} {place}."
    )


def _check_digits(samples: np.ndarray, s: np.ndarray, dimension: float, scale: float) -> None:
    """Refuse potentials such as log(1 + r**-4) that rounding cuts off before their tail is negligible."""
    nonzero = np.flatnonzero(samples)
    if len(nonzero) == 0:
        return
    last = nonzero[-1]
    volume = math.exp(dimension * s[last])
    if last < len(s) - 1 and abs(samples[last]) < 1e-13 * volume and abs(samples[last]) > _TOLERANCE * scale:
        raise InputError(
            f"the interaction loses its digits beyond r = {math.exp(s[last]):.3g}: write its potential "
            "without the difference of nearly equal numbers."
        )

"""Exponential decay rates of a relative energy, fitted where the decay is truly exponential."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# The straight part must span a factor of ten, and have enough points for its straightness to mean something.
_SMALLEST_DROP = np.log(10.0)
_FEWEST_POINTS = 5
# Root mean square of log(value) about its line. An error of the steady energy bends the end of the curve, and
# a tolerance eight times larger then reaches about eight times lower: more than that tells of a slower mode.
_TOLERANCES = (1e-3, 2e-3, 4e-3, 8e-3)
_MUCH_LOWER = np.log(30.0)
# Values below either are left out: relative to the first value, and to the noise at the end of the series.
_RELATIVE_FLOOR = 1e-9
_NOISE_MARGIN = 1e3
# All windows between so many points are tried; the fit itself takes every point of the chosen one.
_MOST_KNOTS = 400


@dataclass(frozen=True)
class Decay:
    """A fitted decay, amplitude * exp(-rate * (time - used[0])).

    Attributes:
        rate: decay rate, positive (dimensionless).
        amplitude: value of the fit at the first time of the fit (dimensionless).
        used: first and last time of the points of the fit (dimensionless).
    """

    rate: float
    amplitude: float
    used: tuple[float, float]

    def __call__(self, time: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The fit at some times.

        Args:
            time: The times, of any shape (dimensionless).

        Returns:
            The fit there, of their shape (dimensionless).
        """
        return self.amplitude * np.exp(-self.rate * (np.asarray(time, dtype=float) - self.used[0]))


def fit_decay(time: npt.ArrayLike, value: npt.ArrayLike) -> Decay | None:
    """Fit the rate at which a relative energy decays (Bruna, Burger and Carrillo, figures 1 to 4).

    log(value) is fitted by a line, by least squares, over the latest window that is straight. Deterministic:

    1. Values below 1e-9 of the first one are left out, and values below 1000 times the noise, which
       is the largest rise (or negative value) in the last tenth of the series.
    2. A window counts as straight if value falls at least tenfold over at least five points and log(value)
       stays within 1e-3 (root mean square) of a line. Of these windows the one that ends last is taken,
       since the slowest mode rules the end; of those that end there, the one with the least deviation
       relative to its fall.
    3. Where there is none, the deviation may be 2e-3, 4e-3 or 8e-3; and so it may where such a window ends
       thirty times lower, for then a slower mode takes over behind a part that only looks straight.

    Args:
        time: increasing times, shape (n,) (dimensionless).
        value: energy minus its steady value at these times, shape (n,) (dimensionless).

    Returns:
        The fit, or None where no part of the series decays exponentially.

    Raises:
        ValueError: if the arrays are not one-dimensional and of the same length.
    """
    t, v = np.asarray(time, dtype=float), np.asarray(value, dtype=float)
    if t.ndim != 1 or t.shape != v.shape:
        raise ValueError(
            f"time and value must be one-dimensional and of one length, not {t.shape}, {v.shape}."
        )
    finite = np.isfinite(t) & np.isfinite(v)
    t, v = t[finite], v[finite]
    if len(v) < _FEWEST_POINTS:
        return None
    large = v > max(_RELATIVE_FLOOR * v[0], _NOISE_MARGIN * _noise(v), 0.0)
    t, y = t[large], np.log(v[large])
    if len(y) < _FEWEST_POINTS:
        return None
    knots = np.unique(np.linspace(0, len(y) - 1, min(len(y), _MOST_KNOTS)).round().astype(int))
    window = _straight_window(t[knots], y[knots])
    if window is None:
        return None
    part = slice(knots[window[0]], knots[window[1]] + 1)
    t, y = t[part], y[part]
    slope = float(np.polynomial.Polynomial.fit(t, y, 1).deriv()(t[0]))
    log_at_start = y.mean() + slope * (t[0] - t.mean())
    return Decay(-slope, float(np.exp(log_at_start)), (float(t[0]), float(t[-1])))


def _noise(v: npt.NDArray[np.float64]) -> float:
    """Size of the noise that the end of the series shows; 0 where it still falls steadily."""
    tail = v[-max(3, len(v) // 10) :]
    return max(0.0, float(np.diff(tail).max()), -float(tail.min()))


def _straight_window(t: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[int, int] | None:
    """First and last index of the latest straight window of the points, see `fit_decay`."""
    first, last = np.triu_indices(len(t), k=_FEWEST_POINTS - 1)
    fall = y[first] - y[last]
    enough = fall >= _SMALLEST_DROP
    first, last, fall = first[enough], last[enough], fall[enough]
    deviation = _deviations(t, y, first, last)
    chosen = None
    for tolerance in _TOLERANCES:
        straight = np.flatnonzero(deviation <= tolerance)
        if len(straight):
            latest = straight[last[straight] == last[straight].max()]
            best = latest[np.argmin(deviation[latest] / fall[latest])]
            if chosen is None or y[last[best]] < y[chosen[1]] - _MUCH_LOWER:
                chosen = int(first[best]), int(last[best])
    return chosen


def _deviations(
    t: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Root mean square distance of y from its line over every window, from running sums."""
    # Centring and scaling keep the differences of the sums accurate.
    t = (t - t.mean()) / max(np.ptp(t), np.finfo(float).tiny)
    y = y - y.mean()
    count = last - first + 1

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        sums = np.concatenate(([0.0], np.cumsum(values)))
        return (sums[last + 1] - sums[first]) / count

    tt = mean(t * t) - mean(t) ** 2
    ty = mean(t * y) - mean(t) * mean(y)
    yy = mean(y * y) - mean(y) ** 2
    return np.sqrt(np.maximum(yy - ty**2 / np.maximum(tt, np.finfo(float).tiny), 0.0))

"""Fields on rectangular grids: arrays of NumPy and grey-scale images, on one process."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.core.extras import require
from fem_models.core.suggestions import choices
from fem_models.transfer.pieces import LARGEST

_Array = npt.NDArray[np.float64]
_Axes = tuple[_Array, ...]

_AXES = "xyz"
# Of so many values is a slab.
_SLAB = 1 << 20
# Points outside of a grid by this share of its spacing have the values at its rim: those at centres of cells
# end half a cell before the domain does. A little more allows for rounding.
_OVERHANG = 0.5 + 1e-9
# Largest numbers of grey values of 8 and 16 bits.
_WHITE = {"1": 1, "L": 255, "I;16": 65535, "I": 65535}


class Box(NamedTuple):
    """The box around a mesh: its lower and upper corner, each of shape (dim,)."""

    lower: _Array
    upper: _Array


class Slab(NamedTuple):
    """A grid between two positions along its first axis.

    Attributes:
        axes: Positions along each axis, increasing.
        values: Shape (positions along x, along y, ...), dimensionless.
        integral: Of the multilinear interpolant over the share of the box around the mesh that is in no slab
            before this one.
    """

    axes: _Axes
    values: _Array
    integral: float


@dataclass(frozen=True)
class Grid:
    """Values on a rectangular grid, which continue beyond its rim by half its spacing.

    Attributes:
        axes: Positions along each axis, increasing, two or more.
        values: Shape (positions along x, along y, ...); it may be on the disk.
        origin: What it is of, for messages.
        note: What was made of it, if that may not be meant.
    """

    axes: _Axes
    values: Any
    origin: str
    note: str = ""

    def slabs(self, box: Box) -> Iterator[Slab]:
        """The grid in slabs of moderate size.

        Args:
            box: The box around the mesh.

        Yields:
            The slabs, each with the last position of the one before it.

        Raises:
            InputError: Values that are not finite.
        """
        first, *others = self.axes
        weights = [_weights(axis, *ends) for axis, *ends in zip(self.axes, *box, strict=True)]
        thick = max(1, _SLAB // prod(map(len, others)))
        for begin in range(0, len(first) - 1, thick):
            end = min(begin + thick, len(first) - 1)
            values = np.asarray(self.values[begin : end + 1], dtype=float)
            if not np.isfinite(values).all():
                raise InputError(f"{self.origin} has values that are not finite numbers.")
            mine = values if end == len(first) - 1 else values[:-1]
            integral = np.tensordot(weights[0][begin : begin + len(mine)], mine, axes=1)
            for along in weights[1:]:
                integral = np.tensordot(along, integral, axes=1)
            yield Slab((first[begin : end + 1], *others), values, float(integral))


def reached(axes: Sequence[_Array], points: _Array) -> _Array:
    """Points that lie a little outside of a grid, put on its rim.

    Args:
        axes: Of the grid, or its first and last two positions along each axis.
        points: Shape (points, dim).

    Returns:
        The points, with not-a-number for coordinates that are farther outside than half of the spacing.
    """
    found = points.copy()
    for k, axis in enumerate(axes):
        below, above = axis[0] - points[:, k], points[:, k] - axis[-1]
        far = (below > _OVERHANG * (axis[1] - axis[0])) | (above > _OVERHANG * (axis[-1] - axis[-2]))
        found[:, k] = np.where(far, np.nan, np.clip(points[:, k], axis[0], axis[-1]))
    return found


def read_grid(path: Path, field: str | None, names: Sequence[str], box: Box, invert: bool) -> Grid:
    """The grid of a file.

    Args:
        path: The file: .npy, .npz or .png.
        field: The array of a .npz file; None for one of some names, or `values`.
        names: The names.
        box: The box around the mesh, which images and .npy files fill.
        invert: Whether white is zero in an image, and not black.

    Returns:
        The grid.

    Raises:
        InputError: The file is missing or damaged, or has not the dimension of the mesh.
    """
    try:
        suffix = path.suffix.lower()
        if suffix == ".png":
            return _image(path, box, invert)
        with warnings.catch_warnings(action="ignore"):
            return _npz(path, field, names, box) if suffix == ".npz" else _npy(path, box)
    except InputError:
        raise
    except MemoryError:
        raise _too_large(path) from None
    except Exception:  # libraries raise what they come upon
        raise InputError(f"{path} is missing or damaged.") from None


def _npy(path: Path, box: Box) -> Grid:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_values(values, str(path), len(box.lower))
    if min(values.shape) < 2:
        raise InputError(f"{path} has the shape {values.shape}: it needs two values or more along each axis.")
    ends = zip(*box, values.shape, strict=True)
    return Grid(tuple(np.linspace(low, high, count) for low, high, count in ends), values, str(path))


def _npz(path: Path, field: str | None, names: Sequence[str], box: Box) -> Grid:
    dim = len(box.lower)
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > 8 * LARGEST:
            raise _too_large(path)
    with np.load(path, allow_pickle=False) as arrays:
        known = [name for name in arrays.files if name not in _AXES]
        name = field if field is not None else next((n for n in names if n in known), "values")
        for key in (*_AXES[:dim], name):
            if key not in arrays.files:
                raise InputError(f'{path} has no array "{key}"; {choices(key, arrays.files)}.')
        axes, values = tuple(_axis(path, key, arrays[key]) for key in _AXES[:dim]), arrays[name]
    _check_values(values, f'The array "{name}" of {path}', dim)
    if values.shape != tuple(map(len, axes)):
        raise InputError(
            f'The array "{name}" of {path} has the shape {values.shape}, and its axes '
            f"{', '.join(_AXES[:dim])} have the lengths {tuple(map(len, axes))}."
        )
    return Grid(axes, values, str(path))


def _axis(path: Path, name: str, axis: Any) -> _Array:
    if axis.ndim != 1 or len(axis) < 2 or axis.dtype.kind not in "fiu":
        raise InputError(f'The array "{name}" of {path} must have two positions or more along an axis.')
    if not (np.isfinite(axis).all() and (np.diff(axis) > 0.0).all()):
        raise InputError(f'The array "{name}" of {path} must increase from each position to the next.')
    return np.asarray(axis, dtype=float)


def _check_values(values: Any, origin: str, dim: int) -> None:
    if values.ndim != dim or values.dtype.kind not in "fiu":
        raise InputError(
            f"{origin} has {values.ndim} axes of type {values.dtype}: the mesh needs {dim} "
            f"{'axis' if dim == 1 else 'axes'} of real numbers, the first of them along x."
        )
    if values.size > LARGEST:
        raise InputError(f"{origin} has {values.size} values, which are too many to read.")


def _image(path: Path, box: Box, invert: bool) -> Grid:
    if len(box.lower) != 2:
        raise InputError(f"{path} is an image, and the mesh has dimension {len(box.lower)}, not 2.")
    library: Any = require("PIL.Image", extra="mesh", what="Images")
    # A file that says that it is larger than the limit of the library is refused, not warned of.
    with warnings.catch_warnings(action="error", category=library.DecompressionBombWarning):
        try:
            with library.open(path, formats=("PNG",)) as image:
                grey, note = _grey(image, path)
        except (library.DecompressionBombWarning, library.DecompressionBombError):
            raise _too_large(path) from None
    values = np.asarray(grey, dtype=float) / _WHITE[grey.mode]
    # The first row of an image is its top; pixels are cells, and have their values at their centres.
    values = np.pad((1.0 - values if invert else values)[::-1].T, 1, mode="edge")
    axes = []
    for low, high, count in zip(*box, values.shape, strict=True):
        places = np.concatenate([[0.0], np.arange(0.5, count - 2), [count - 2.0]]) / (count - 2)
        axes.append(low + (high - low) * places)
    return Grid(tuple(axes), values, str(path), note)


def _grey(image: Any, path: Path) -> tuple[Any, str]:
    """The image in grey, and a sentence where it has colours."""
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        raise InputError(f"{path} has transparent pixels: save it in grey without an alpha channel.")
    if image.mode in _WHITE:
        image.load()
        return image, ""
    return image.convert("L"), f"The colours of {path} are taken by their brightness."


def _too_large(path: Path) -> InputError:
    return InputError(f"{path} is too large to read: save it with fewer values.")


def _weights(axis: _Array, lower: float, upper: float) -> _Array:
    """What each position counts in the integral from one number to another, shape (positions,)."""
    between = axis[(axis > lower) & (axis < upper)]
    places = np.concatenate([[lower], between, [upper]])
    lengths = np.diff(places)
    shares = np.zeros(len(places))
    shares[:-1] += lengths / 2.0
    shares[1:] += lengths / 2.0
    inside = np.clip(places, axis[0], axis[-1])
    left = np.clip(np.searchsorted(axis, inside, side="right") - 1, 0, len(axis) - 2)
    part = (inside - axis[left]) / (axis[left + 1] - axis[left])
    found = np.zeros(len(axis))
    np.add.at(found, left, shares * (1.0 - part))
    np.add.at(found, left + 1, shares * part)
    return found

"""Power cuts: what would be on the disk at instants of a run, and how the run goes on from there.

The model of a disk: of a file there are the bytes that were there when the system last said that they are on
the disk (fsync), and of a directory the names. Beside that, three disks differ in what else is there.

- strict: nothing else;
- names: all names, also those of files of which no bytes are there;
- torn: all names, and of each file a random part of what was written since.
"""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from faults_runs import Case, differences, latest

from fem_models.results import layout
from fem_models.run.checkpoints import Keeper

DISKS = ("strict", "names", "torn")

_Image = dict[Path, bytes | None]


class Disk:
    """Notes what is on the disk, while this process writes.

    Args:
        root: The directory that is looked at.
        rng: Draws the parts of a torn disk.

    Attributes:
        images: For each disk, what was there at instants, with the step of the last checkpoint that had been
            kept then (None for none): files by their path below the root, and None for directories.
    """

    def __init__(self, root: Path, rng: random.Random) -> None:
        self._root, self._rng = root, rng
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {root.stat().st_ino: {}}
        self._held: list[int] = []
        self._acknowledged: int | None = None
        self.images: dict[str, list[tuple[_Image, int | None]]] = {disk: [] for disk in DISKS}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at what this process writes in the block."""
        fsync, keep = os.fsync, Keeper.keep

        def watched_fsync(handle: int) -> None:
            self._look()
            fsync(handle)
            self._note(handle)

        def watched_keep(keeper: Any, step: int, *rest: Any) -> None:
            keep(keeper, step, *rest)
            self._acknowledged = step
            self._look()

        try:
            with patch.object(os, "fsync", watched_fsync), patch.object(Keeper, "keep", watched_keep):
                yield
        finally:
            for handle in self._held:
                os.close(handle)

    def _note(self, handle: int) -> None:
        """What the system says to be on the disk."""
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if not path.is_relative_to(self._root):
            return
        # While it is open, no other file gets its number.
        self._held.append(os.dup(handle))
        number = os.fstat(handle).st_ino
        if path.is_dir():
            self._names[number] = _entries(path)
        else:
            self._bytes[number] = path.read_bytes()

    def _look(self) -> None:
        """Keep what would be there now."""
        for disk, images in self.images.items():
            image: _Image = {}
            self._walk(disk, self._root, self._root.stat().st_ino, Path(), image)
            if not images or images[-1] != (image, self._acknowledged):
                images.append((image, self._acknowledged))

    def _walk(self, disk: str, folder: Path, number: int, below: Path, image: _Image) -> None:
        names = self._names.get(number, {}) if disk == "strict" else _entries(folder)
        for name, (found, is_folder) in names.items():
            if is_folder:
                image[below / name] = None
                self._walk(disk, folder / name, found, below / name, image)
                continue
            kept = self._bytes.get(found, b"")
            if disk == "torn":
                written = (folder / name).read_bytes()
                kept = written[: self._rng.randint(min(len(kept), len(written)), len(written))]
            image[below / name] = kept


def _entries(folder: Path) -> dict[str, tuple[int, bool]]:
    with os.scandir(folder) as entries:
        return {entry.name: (entry.inode(), entry.is_dir()) for entry in entries}


def power_cuts(
    case: Case, place: Path, rng: random.Random, most: int
) -> Iterator[tuple[str, int, list[str]]]:
    """Cut the power in a run at the instants at which what is on the disk changes.

    Args:
        case: The model.
        place: A directory that is not there.
        rng: Draws instants, and torn parts.
        most: Of the instants of each disk, so many are tried.

    Yields:
        The disk, how many cuts were tried, and sentences about what was lost in them.
    """
    place.mkdir()
    disk = Disk(place, rng)
    with disk.watched():
        case.run(place / "run")
    for name, images in disk.images.items():
        chosen = sorted(rng.sample(range(len(images)), min(most, len(images))))
        lost = [sentence for k in chosen if (sentence := _lost(case, place.with_name("cut"), *images[k]))]
        yield name, len(chosen), lost


def _lost(case: Case, place: Path, image: _Image, acknowledged: int | None) -> str:
    """What is lost of a run; empty if nothing is."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path, kept in image.items():
        if kept is None:
            (place / path).mkdir()
        else:
            (place / path).write_bytes(kept)
    found = latest(place / "run")
    if (acknowledged or 0) > (found or 0):
        return f"the checkpoint of step {acknowledged} is not there"
    if found is None:
        return ""
    if (place / "run" / layout.SUMMARY).exists():
        return differences(place / "run", case.whole)
    return case.ended(place / "run")

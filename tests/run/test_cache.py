"""Compilations that were killed do not stop the next run."""

import os
import time

import pytest

from fem_models.core.errors import InputError
from fem_models.run import cache


def test_only_old_sources_without_a_mark_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.jit, "get_options", lambda: {"cache_dir": tmp_path})
    old = time.time() - 3600.0
    for name, age in {"killed.c": old, "done.c": old, "done.c.cached": old, "running.c": time.time()}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    cache.remove_abandoned()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["done.c", "done.c.cached", "running.c"]


def test_a_folder_that_cannot_be_written_is_one_sentence(monkeypatch):
    monkeypatch.setattr(cache.jit, "get_options", lambda: {"cache_dir": "/proc/nowhere/fenics"})
    with pytest.raises(
        InputError, match=r"/proc/nowhere/fenics for compiled forms cannot be .*XDG_CACHE_HOME"
    ):
        cache.remove_abandoned()

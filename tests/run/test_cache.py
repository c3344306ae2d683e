"""Compilations that were killed do not stop the next run."""

import os
import time

from fem_models.run import cache


def test_only_old_sources_without_a_mark_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.jit, "get_options", lambda: {"cache_dir": tmp_path})
    old = time.time() - 3600.0
    for name, age in {"killed.c": old, "done.c": old, "done.c.cached": old, "running.c": time.time()}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    cache.remove_abandoned()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["done.c", "done.c.cached", "running.c"]

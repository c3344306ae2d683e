# Needs make, a C compiler and Python >= 3.12; all else is installed into .venv.

MPIEXEC = sh .ci/with-mpi .venv/bin/mpiexec
PYTEST = .venv/bin/python -m pytest
INSTALLED_FROM = pyproject.toml fem_models/_version.py

# One thread per MPI rank.
export OMP_NUM_THREADS = 1
export NUMBA_NUM_THREADS = 1
# Nothing of another environment, and nothing but .venv to install into.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX
export PIP_USER = 0

# A .venv that was copied from elsewhere, or whose Python is gone, is made again.
ifneq ($(and $(realpath .venv/bin/python),$(shell cat .venv/.home 2>/dev/null)),$(CURDIR))
$(shell rm -f .venv/.demo-installed .venv/.test-installed)
endif

.PHONY: help demo test style test-serial test-parallel-2 test-parallel-3 clean
.NOTPARALLEL:

help:
	@echo "make demo    run the quickstart example on two processes"
	@echo "make test    run the style checks and all tests, serial and in parallel"
	@echo "make clean   remove .venv and the caches; results in runs/output stay"
	@echo "The first call of demo or test installs into .venv; PYTHON=... names the Python to use."

demo: .venv/.demo-installed
	$(MPIEXEC) -n 2 .venv/bin/fem-models run runs/quickstart.toml --out runs/output/quickstart --overwrite

# Each part runs even where an earlier one failed; make fails in the end.
MAKEFLAGS += --keep-going

test: style test-serial test-parallel-2 test-parallel-3

style: .venv/.test-installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/mypy

test-serial: .venv/.test-installed
	sh .ci/with-mpi $(PYTEST) -n auto --maxprocesses 8 --dist worksteal

# With more ranks than cores, MPICH's ranks that wait must not keep the others from working.
test-parallel-3: export MPIR_CVAR_CH4_PROGRESS_THROTTLE = 1

test-parallel-2 test-parallel-3: test-parallel-%: .venv/.test-installed
	$(MPIEXEC) -n $* $(PYTEST) -p no:cacheprovider -m parallel

.venv/.demo-installed: $(INSTALLED_FROM)
	@sh .ci/install wheel,all
	@touch $@

.venv/.test-installed: $(INSTALLED_FROM)
	@sh .ci/install wheel,all,dev
	@touch $@ .venv/.demo-installed

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# `make` alone lists the targets. Each does its own set-up, and only what is not done yet: Python 3.11 or newer is all it takes.

.DEFAULT_GOAL := help
# No built-in rules here. MAKEFLAGS would take them from what pip compiles as well.
.SUFFIXES:

# The interpreter that the virtual environment is made with.
PYTHON ?= python3
# Where `make demo` listens.
PORT ?= 8000
# More arguments for pytest (`make test`, `make pytest`) or for the benchmarks (`make bench`).
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/done
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --prefer-binary --constraint constraints.txt
NPM := $(BIN)/python -m tests.support.node npm
# Three processes on two cores, as much of the tests is waiting. A file's tests stay together, as they may share a server or a browser.
SPREAD := --numprocesses 3 --dist loadfile
ON_MARIADB := $(addprefix tests/unit/,access compat inbox log management models notifications/test_data.py notifications/test_verbs.py \
	notifications/test_recall.py progress admin/test_figures.py admin/test_log.py test_checks.py test_retention.py test_retention_server.py) \
	tests/asgi/test_retention.py tests/asgi/test_atomic_requests.py tests/asgi/test_writing.py tests/asgi/test_runs_faults.py
# What pytest exits with if no test was chosen.
NONE := 5
HTML := find sse_notify demo_project templates tests -name '*.html' -print0

export PYTHONUTF8 := 1

# The targets share one environment.
.NOTPARALLEL:

.PHONY: help demo test pytest pytest-postgres pytest-mariadb matrix projects firefox faults soak js lint docs format bench coverage lock clean

help: ## list the targets
	@echo 'Usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- what runs ---------------------------------------------------------------------------------------------------------------

demo: $(DONE)/demo ## run the demo site on http://127.0.0.1:8000 (PORT=...)
	PORT=$(PORT) $(BIN)/python manage.py demo

bench: $(DONE)/bench ## measure against other packages (ARGS="--quick" for a short run)
	$(BIN)/python -m benchmarks $(ARGS)

# --- what checks -------------------------------------------------------------------------------------------------------------

test: js pytest-postgres pytest-mariadb pytest ## run every test (ARGS="-k name" for some)

# Each process has services of its own. What measures latencies runs after the others; with ARGS="-k name" either may have no test.
pytest: $(DONE)/test $(DONE)/npm $(DONE)/chromium $(DONE)/firefox $(DONE)/webkit $(DONE)/nginx $(DONE)/haproxy $(DONE)/pgbouncer $(DONE)/mariadb ## run the Python tests, with real servers, faults and a real browser
	$(BIN)/python -m pytest $(SPREAD) -m "not alone" $(ARGS) || test $$? -eq $(NONE)
	$(BIN)/python -m pytest -m alone $(ARGS) || test $$? -eq $(NONE)

# Beside tests/browser/test_firefox.py, which `make test` runs. What Firefox's driver cannot do is skipped, with the reason.
firefox: $(DONE)/test $(DONE)/npm $(DONE)/firefox $(DONE)/webkit $(DONE)/haproxy ## run all browser tests in Firefox, some 15 minutes
	BROWSER=firefox $(BIN)/python -m pytest $(SPREAD) tests/browser $(ARGS)

faults: $(DONE)/test $(DONE)/nginx ## run the fault suite alone, in its short form, and show what it found
	$(BIN)/python -m pytest tests/faults $(ARGS)

soak: $(DONE)/test $(DONE)/nginx ## run the fault suite in its long form, about half an hour, and write docs/soak.md
	SOAK=1 $(BIN)/python -m pytest tests/faults --timeout 1800 $(ARGS)

# What depends on the database runs a second time, with PostgreSQL as the tests' own, and in Python's development mode: asyncio then
# tells of coroutines that nobody awaits and of callbacks from the wrong thread. That mode's slow allocator is for C code, of which
# there is none here. Two files that are left out query nothing; the third tries texts by the hundred, which are no other there.
pytest-postgres: $(DONE)/test ## run the unit tests again, on PostgreSQL
	PYTHONDEVMODE=1 PYTHONMALLOC=pymalloc $(BIN)/python -m tests.support.postgres $(BIN)/python -m pytest $(SPREAD) tests/unit tests/asgi \
		--ignore tests/unit/streaming/test_splice.py --ignore tests/unit/sse/test_wire.py --ignore tests/unit/notifications/test_injection.py $(ARGS)

# What MariaDB may do otherwise, in its own SQL, locks and texts. Its driver is in Python, and slow: fewer examples, and not every folder.
pytest-mariadb: $(DONE)/test $(DONE)/mariadb ## run those unit tests again that MariaDB may fail
	HYPOTHESIS_PROFILE=few $(BIN)/python -m tests.support.mariadb $(BIN)/python -m pytest $(SPREAD) -m "not slow" $(ON_MARIADB) $(ARGS)

# Some minutes for each pair, so no part of `make test`; tests hold the list of pairs to what is promised.
matrix: $(DONE)/matrix ## run the tests with each Python and Django that is here (ARGS="--list", ARGS="-k py313")
	$(BIN)/nox --non-interactive $(ARGS)

# From PyPI, the newest of everything, so no part of `make test`: another package's release may break it.
projects: $(DONE)/test $(DONE)/chromium ## build other packages' projects by the how-to guides, and look at them (ARGS="-k wagtail", PYTHON=...)
	PYTHON=$(PYTHON) $(BIN)/python -m pytest --numprocesses 2 tests/projects/stacks.py $(ARGS)

js: $(DONE)/npm ## run the JavaScript tests
	$(NPM) --silent test

lint: $(DONE)/lint $(DONE)/npm ## run the linters and the type checkers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(HTML) | xargs -0 $(BIN)/djade --check --target-version 5.2
	$(BIN)/codespell
	$(NPM) --silent run lint

docs: $(DONE)/docs ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

format: $(DONE)/lint $(DONE)/npm ## format everything, and mend what the linters can mend
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(HTML) | xargs -0 $(BIN)/djade --target-version 5.2 || true
	$(NPM) --silent run format

coverage: $(DONE)/test $(DONE)/npm $(DONE)/chromium $(DONE)/firefox $(DONE)/webkit $(DONE)/nginx $(DONE)/haproxy $(DONE)/pgbouncer $(DONE)/mariadb ## run the Python tests and tell what they do not reach
	$(BIN)/python -m tests.support.postgres $(BIN)/python -m pytest --cov --cov-report= tests/unit tests/asgi
	$(BIN)/python -m pytest --cov --cov-append --cov-report=term --cov-report=html

# --- what sets up: a file in $(DONE) says that it is done -----------------------------------------------------------------------

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, and $(PYTHON) is older: make PYTHON=python3.13 ..." >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) \
		|| { echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@mkdir -p $(@D) && touch $@

$(DONE)/demo $(DONE)/test $(DONE)/lint $(DONE)/docs $(DONE)/bench $(DONE)/matrix: $(DONE)/%: pyproject.toml constraints.txt | $(DONE)/venv
	@echo 'Installing the packages of "$*" into $(VENV) ...'
	@$(PIP) --editable '.[$*]'
	@touch $@

$(DONE)/npm: package-lock.json | $(DONE)/test
	@echo 'Installing the npm packages ...'
	@$(NPM) --loglevel=error ci
	@touch $@

$(DONE)/chromium $(DONE)/firefox: $(DONE)/%: tests/support/browser.py tests/support/debian.py | $(DONE)/test
	@$(BIN)/python -m tests.support.browser $*
	@touch $@

$(DONE)/webkit: tests/support/webkit.py tests/support/debian.py | $(DONE)/test
	@$(BIN)/python -m tests.support.webkit
	@touch $@

$(DONE)/nginx: tests/support/nginx.py tests/support/debian.py | $(DONE)/test
	@$(BIN)/python -m tests.support.nginx
	@touch $@

$(DONE)/haproxy: tests/support/haproxy.py tests/support/debian.py | $(DONE)/test
	@$(BIN)/python -m tests.support.haproxy
	@touch $@

$(DONE)/pgbouncer: tests/support/pgbouncer.py tests/support/debian.py | $(DONE)/test
	@$(BIN)/python -m tests.support.pgbouncer
	@touch $@

$(DONE)/mariadb: tests/support/mariadb.py tests/support/debian.py | $(DONE)/test
	@$(BIN)/python -m tests.support.mariadb
	@touch $@

lock: ## take the newest versions of everything into constraints.txt and package-lock.json
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet --prefer-binary '.[demo,test,lint,docs,bench,matrix]'
	{ sed -n '/^#/p' constraints.txt; .cache/lock/bin/python -m pip freeze --exclude sse-notify; } > .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt
	# From nothing: npm drops other platforms' packages from a lock that it mends beside installed ones.
	rm -rf node_modules package-lock.json
	$(NPM) install

clean: ## remove what all of these made, the demo's database too
	rm -rf $(VENV) .nox .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov build dist docs/_build var node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything sets itself up: a fresh machine needs Python >= 3.11 and make, nothing else.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QT6 := .venv-pyqt6
READY6 := $(QT6)/.ready
WITH_QT6 := PYTHONPATH=$(QT6) QT_API=pyqt6 PYTEST_QT_API=pyqt6

# what differs between PyQt5 and PyQt6: mouse and keys, events, enumerations, tables and dialogs
SMOKE := tests/plugin/test_handles.py tests/plugin/test_accessible.py -k "not while_a_fit_runs"

.PHONY: help setup test test-pyqt6 smoke-pyqt6 lint audit format demo bench benchmark learned docs tutorials dist-check screenshots \
	first-hour sample-data clean

help:  ## list what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

setup: $(READY)  ## make .venv with the program and its tools

$(READY): pyproject.toml constraints.txt scripts/setup.sh
	@scripts/setup.sh
	@touch $@

demo: $(READY)  ## open a patch of sky by two telescopes, find its sources and fit them live
	@$(BIN)/python docs/demo.py

test: $(READY)  ## run all tests, those of the window too
	@# files side by side, since most of them wait for one compiler; not more than memory is good for
	@$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile
	@echo "make test: all tests passed."

$(READY6): $(READY) constraints.txt scripts/setup.sh
	@scripts/setup.sh pyqt6
	@touch $@

test-pyqt6: $(READY6)  ## run the tests of the window with PyQt6
	@$(WITH_QT6) $(BIN)/python -m pytest tests/plugin --numprocesses=logical --maxprocesses=4 --dist=loadfile
	@echo "make test-pyqt6: all tests passed."

smoke-pyqt6: $(READY6)  ## open, edit and fit in the window with PyQt6: a minute, where all tests take many
	@$(WITH_QT6) $(BIN)/python -m pytest $(SMOKE)
	@echo "make smoke-pyqt6: all tests passed."

lint: $(READY)  ## ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@echo "make lint: nothing to mend."

audit: $(READY)  ## ask for known weaknesses of the packages that are installed here
	@$(BIN)/python scripts/audit.py

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)  ## measure all that is to be fast, each number next to its limit (half an hour)
	@$(BIN)/python benchmarks/bench.py

benchmark: $(READY)  ## compare with scarlet2 (installed into its own environment)
	@$(BIN)/python benchmarks/compare_scarlet2.py

learned: $(READY)  ## compare learned priors on the same blends, and make their pictures anew (hours of one core)
	@$(BIN)/python benchmarks/learned.py
	@$(BIN)/python benchmarks/expectation.py
	@$(BIN)/python benchmarks/learned_pictures.py

docs: $(READY)  ## build the site into build/site; a link that leads nowhere fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "make docs: open build/site/index.html"

tutorials: $(READY)  ## run all that the tutorials show, and write their outputs and pictures anew
	@$(BIN)/python docs/tutorials.py --write

dist-check: $(READY)  ## build wheel and sdist, install each into an environment of its own and try it from outside
	@scripts/dist_check.sh

screenshots: $(READY)  ## make the pictures of the documentation anew
	@$(BIN)/python docs/screenshots.py
	@$(BIN)/python docs/batch_report.py
	@$(BIN)/python docs/learned_galaxies.py

first-hour: $(READY)  ## make the pictures of docs/first_hour.md anew, from images that DEBLEND_DATA names
	@$(BIN)/python docs/first_hour.py

sample-data: $(READY)  ## make sample_data/ anew from its seed
	@$(BIN)/python sample_data/generate.py
	@$(BIN)/python sample_data/two_telescopes.py

clean:  ## remove what was built; .venv stays
	rm -rf build dist demo_output benchmarks/results .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The first call makes .venv and installs faro into it; later calls start at once.
PYTHON ?= python3
DATA ?= demo
OUT ?= out/$(DATA)
ARGS ?=

# A relative FARO_DATA is meant from here, wherever a command is started.
ifdef FARO_DATA
override FARO_DATA := $(if $(filter /%,$(firstword $(FARO_DATA))),$(FARO_DATA),$(CURDIR)/$(FARO_DATA))
export FARO_DATA
endif

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERIES := import sysconfig; print(sysconfig.get_python_version())

# What runs on every Python and on the lowest versions too: files whose code leans most on other packages.
PART := $(patsubst %.py,tests/%.py,baselines/test_baselines.py data/test_table.py data/test_parse.py certify/test_certificate.py \
  verify/test_golden.py repository/test_deprecations.py)

# PYTHON given by name means it, also where the environment was made with another one.
ifneq ($(origin PYTHON),file)
ifneq ($(shell $(BIN)/python -c '$(SERIES)' 2>/dev/null),$(shell "$(PYTHON)" -c '$(SERIES)' 2>/dev/null))
.PHONY: $(STAMP)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: frontier certificates text test test-slow test-part test-browser lint bench coverage clean help

help: ## this list
	@echo "usage: make TARGET [PYTHON=python3.12] [DATA=demo] [OUT=out/demo] [ARGS='--seeds 5']"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

frontier: $(STAMP) ## sweep the accuracy-fairness frontier of DATA into OUT
	@$(BIN)/faro frontier --data "$(DATA)" --out "$(OUT)" $(ARGS)

certificates: $(STAMP) ## choose the model of the last frontier in OUT that is likely to pass, and certify it, once
	@test -e "$(OUT)/faro.toml" || $(BIN)/faro policy "$(OUT)" --out "$(OUT)/faro.toml" $(ARGS)
	@test -e "$(OUT)/ledger.jsonl" || { $(BIN)/faro choose "$(OUT)" --policy "$(OUT)/faro.toml" $(ARGS) && \
	  $(BIN)/faro ledger init "$(OUT)" --policy "$(OUT)/faro.toml" $(ARGS); }
	@$(BIN)/faro certify "$(OUT)" --disclose --policy "$(OUT)/faro.toml" $(ARGS)
	@$(BIN)/faro report "$(OUT)"

text: $(STAMP) ## install what reads text, and the encoder minilm into the cache (83 MB, once)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[text]'
	@$(BIN)/faro encoder install minilm

test: $(STAMP) ## run the tests but the slow ones; FARO_DATA=folder adds those on real data
	@$(BIN)/python -m pytest -q -n 2 -m "not slow" $(ARGS)

test-slow: $(STAMP) ## run the slow ones: whole runs, simulations, other processes, everything under every notion
	@$(BIN)/python -m pytest -q -n 2 -m slow $(ARGS)

test-part: $(STAMP) ## the part of the tests that .ci/run runs on every Python and on the lowest versions
	@$(BIN)/python -m pytest -q -n 2 $(PART) $(ARGS)

test-browser: $(STAMP) ## open the report in headless Chromium: points, commands, widths, no network; needs chromium
	@$(BIN)/python -m pytest -q -m browser tests/report/test_browser.py $(ARGS)

lint: $(STAMP) ## ruff check, ruff format --check, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP) ## list the benchmarks, or run those named in ARGS
	@$(BIN)/python -m benchmarks $(ARGS)

coverage: $(STAMP) ## how often the bounds of certificates are wrong at the boundary, into docs/coverage.md
	@$(BIN)/python -m benchmarks.coverage --out docs/coverage.md $(ARGS)

clean: ## remove .venv, caches and build output; keeps out/
	rm -rf .venv* build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find faro constraints tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): setup.cfg pyproject.toml
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("faro needs Python 3.11, 3.12 or 3.13, got %d.%d; say make PYTHON=python3.12 ..." % v)'
	@echo "Installing into $(VENV) (first use, another Python, or setup.cfg changed) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 && \
	  [ "$$($(BIN)/python -c '$(SERIES)')" = "$$("$(PYTHON)" -c '$(SERIES)')" ] || "$(PYTHON)" -m venv --clear "$(VENV)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@

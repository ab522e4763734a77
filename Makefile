# Everything works on a machine with only Python (3.11 or newer) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format docs benchmarks clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)  ## set up, then the demo study on built-in photographs: mixlens-runs/demo/report.html
	$(BIN)/mixlens run demo
	@echo "Open mixlens-runs/demo/report.html or report.pdf"

# Two processes of one thread each; a file's tests share their fixtures, so they stay together.
test: $(STAMP)  ## set up, then the tests (a few minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(STAMP)  ## the slow tests alone
	$(BIN)/python -m pytest -m "slow and not gpu"

# mypy sees the package through a link named after it: the checkout's own folder may have any name.
lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/link && ln -sfn "$(CURDIR)" $(VENV)/link/mixlens
	cd $(VENV)/link && MYPYPATH=. ../../$(BIN)/mypy --config-file mixlens/pyproject.toml --exclude '/(\.venv|build|tests|benchmarks)/' -p mixlens

format: $(STAMP)  ## reformat the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## the documentation as a site: build/docs/index.html
	$(BIN)/sphinx-build -q -W --keep-going -E -b html docs build/docs
	$(BIN)/python scripts/check_site.py build/docs

benchmarks: $(STAMP)  ## quick benchmarks, each against what one would use instead
	$(BIN)/python benchmarks/masks.py --quick
	$(BIN)/python benchmarks/vae.py --quick
	$(BIN)/python benchmarks/training.py --quick
	$(BIN)/python benchmarks/loader.py --quick
	$(BIN)/python benchmarks/texts.py --quick
	$(BIN)/python benchmarks/information.py --quick
	$(BIN)/python benchmarks/robustness.py --quick --model "preact-resnet18(width=8)"
	$(BIN)/python benchmarks/gradcam.py --quick --model "preact-resnet18(width=8)"

clean:  ## remove the environment and caches; studies in mixlens-runs/ stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache

# Two commands matter: `make demo` and `make test`. Both make their own environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SLICER_VENV ?= .venv-slicer
SLICER_STAMP := $(SLICER_VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PEERS_STAMP := $(VENV)/.peers
.PHONY: demo test peers test-slow test-slicer slicer-split lint types floors unit gui system-packages format clean

demo: $(STAMP) system-packages
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname -s)" != Linux ]; then \
	    $(BIN)/python scripts/demo.py demo_out --stay; \
	else \
	    ./scripts/with-display $(BIN)/python scripts/demo.py demo_out; \
	fi

test: lint types floors unit gui test-slicer

# what some tests compare with; they are skipped without it
peers: $(PEERS_STAMP)

test-slow: $(STAMP) system-packages
	./scripts/with-display $(BIN)/python -m pytest -m slow
	$(MAKE) test-slicer SLICER_MARK=slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# 3D Slicer 5.8 has Python 3.9. Torch's `long` is taken for Python 2's.
OLDEST_PYTHON := --quiet --target=3.9- --violations --eval-annotations --exclude long

types: $(STAMP)
	$(BIN)/mypy
	MYPYPATH=slicer_extension/HybridSeg $(BIN)/mypy -p HybridSegLib

floors: $(STAMP)
	$(BIN)/lint-imports --no-cache
	$(BIN)/vermin $(OLDEST_PYTHON) napari_hybridseg slicer_extension
	$(BIN)/npe2 validate napari-hybridseg

unit: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" --ignore tests/widgets

gui: $(STAMP) system-packages
	./scripts/with-display $(BIN)/python -m pytest -m "not slow" tests/widgets

# slicer-core and PySide6 live in an environment and a process of their own
SLICER_MARK ?= not slow
test-slicer: $(STAMP) system-packages
	@if ! $(BIN)/python scripts/has_slicer_core.py; then \
	    echo "There is no slicer-core wheel for this Python: the tests of the Slicer face are left out."; \
	else \
	    $(MAKE) $(SLICER_STAMP) && \
	    HYBRIDSEG_ENGINE_PYTHON=$(abspath $(BIN)/python) $(SLICER_VENV)/bin/python -m pytest -m "$(SLICER_MARK)" tests/slicer_extension; \
	fi

# OWNER=name puts another owner of the repository SlicerHybridSeg into its addresses
slicer-split:
	$(PYTHON) scripts/slicer_split.py build/SlicerHybridSeg $(if $(OWNER),--owner $(OWNER))

system-packages:
	./scripts/system-packages

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all,test]"
	touch $(STAMP)

$(PEERS_STAMP): $(STAMP) tests/peers.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -r tests/peers.txt
	$(BIN)/python -m pip install --quiet --no-deps nnunetv2 dynamic-network-architectures
	touch $(PEERS_STAMP)

$(SLICER_STAMP): pyproject.toml
	$(PYTHON) -m venv $(SLICER_VENV)
	$(SLICER_VENV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(SLICER_VENV)/bin/python -m pip install --quiet --group slicer-core
	$(SLICER_VENV)/bin/python -m pip install --quiet --no-deps -e .
	touch $(SLICER_STAMP)

clean:
	rm -rf $(VENV) $(SLICER_VENV) build/SlicerHybridSeg demo_out

# Two commands matter: `make demo` and `make test`. Both make their own environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow lint types floors unit gui system-packages format clean

demo: $(STAMP) system-packages
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname -s)" != Linux ]; then \
	    $(BIN)/python scripts/demo.py demo_out --stay; \
	else \
	    ./scripts/with-display $(BIN)/python scripts/demo.py demo_out; \
	fi

test: lint types floors unit gui

test-slow: $(STAMP) system-packages
	./scripts/with-display $(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

floors: $(STAMP)
	$(BIN)/lint-imports --no-cache
	$(BIN)/npe2 validate napari-hybridseg

unit: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" --ignore tests/widgets

gui: $(STAMP) system-packages
	./scripts/with-display $(BIN)/python -m pytest -m "not slow" tests/widgets

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

clean:
	rm -rf $(VENV) demo_out

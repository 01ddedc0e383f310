# make demo     install hedge into .venv and run the whole pipeline on this machine
# make test     install the test tools too (with torch) and run the suite
# make test-wheel      install hedge's wheel into an empty environment and use it there, in a minute
# make test-web        run exported files in a browser (needs npm and Chromium)
# make test-arm64      install hedge on Debian arm64 under qemu and use it there (needs root, 10 minutes)
# make test-boards     run exported C on Cortex-M0+, M4, M7 and RISC-V under qemu, Arduino libraries there and on AVR
# make fuzz     run 10,000 altered files of all kinds (a quarter of an hour; INPUTS and SEED say others)
# make check    format, lint, types, import direction, and the docs as a site in build/site
# make models   make the models of models/ again (about three quarters of an hour on 2 cores)
# make benchmarks   print the measured figures that the README quotes

PYTHON ?= python3
BIN := .venv/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-wheel fuzz test-web test-arm64 test-boards check models benchmarks clean

demo: .venv/installed-report
	$(BIN)/hedge demo burgers --out hedge-demo --force

test: .venv/installed-test
	$(BIN)/pytest -q -n 2 --dist loadfile

# The base alone, nowhere near the checkout, and no larger (in MB) than README says.
MOST_MB := 330
test-wheel:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && unset PYTHONPATH && \
	$(PYTHON) -m venv "$$folder/env" && \
	"$$folder/env/bin/pip" wheel --quiet --no-deps --wheel-dir "$$folder" . && \
	"$$folder/env/bin/pip" install --quiet --no-compile "$$folder"/*.whl && \
	size=$$(du -sm "$$folder/env" | cut -f 1) && echo "test-wheel: $$size MB installed" && \
	test "$$size" -le $(MOST_MB) && cd "$$folder" && \
	env/bin/hedge demo heat --quick --device laptop-x86 --out demo && test -s demo/heat.recovered.onnx

fuzz: INPUTS ?= 10000
fuzz: SEED ?= 1
fuzz: .venv/installed-test
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) --seed $(SEED)

test-web: .venv/installed-test
	@command -v npm >/dev/null && command -v chromium >/dev/null || { echo "test-web: needs npm and chromium (Debian's packages are called so)"; exit 1; }
	npm install --prefix tests/exporting/web --no-package-lock --no-audit --no-fund --ignore-scripts
	HEDGE_TEST_WEB=1 $(BIN)/pytest -q -rP tests/exporting/test_browser.py

test-arm64: .venv/installed-base
	$(BIN)/python boards/arm64.py

test-boards: .venv/installed-test
	$(BIN)/python boards/microcontrollers.py
	$(BIN)/python boards/sketches.py
	$(BIN)/python boards/uno.py

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet --site-dir build/site

models: .venv/installed-test
	$(BIN)/hedge train burgers --width 128 --depth 4 --seed 0 --steps 267 --force --out models/burgers-128x4.onnx
	$(BIN)/hedge compress models/burgers-128x4.onnx --device laptop-x86 --tolerance 3.6e-5 --against reference --batch 1024 --recover outputs --steps 20000 --force --out models/burgers-128x4.hedge.safetensors
	$(BIN)/hedge train heat --width 64 --depth 3 --method ssbroyden --seed 0 --steps 1387 --force --out models/heat-64x3.onnx
	$(BIN)/hedge train poisson --width 64 --depth 3 --method ssbroyden --seed 0 --steps 600 --force --out models/poisson-64x3.onnx
	$(BIN)/hedge train burgers-nu --width 24 --depth 3 --seed 0 --steps 6961 --force --out models/burgers-nu-24x3.onnx
	$(BIN)/hedge train burgers-nu --width 64 --depth 4 --seed 0 --steps 292 --force --out models/burgers-nu-64x4.onnx
	$(BIN)/hedge train pendulum --width 64 --depth 4 --seed 0 --steps 280 --force --out models/pendulum-64x4.onnx
	$(BIN)/hedge compress models/pendulum-64x4.onnx --device laptop-x86-c --tolerance 1e-5 --derivatives 1e-4 --force --out models/pendulum-64x4.hedge.safetensors
	$(BIN)/hedge train poisson-operator --sensors 1024 --seed 0 --steps 1000 --force --out models/poisson-operator-1024.onnx
	$(BIN)/hedge certify models/burgers-128x4.onnx --problem burgers --force --out models/burgers-128x4.certificate.json
	$(BIN)/hedge certify models/heat-64x3.onnx --problem heat --force --out models/heat-64x3.certificate.json
	$(BIN)/hedge certify models/poisson-64x3.onnx --problem poisson --force --out models/poisson-64x3.certificate.json

benchmarks: .venv/installed-test
	$(BIN)/python benchmarks/truncation.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/prediction.py
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/never_slower.py
	$(BIN)/python benchmarks/export.py
	$(BIN)/python benchmarks/hmatrix.py
	$(BIN)/python benchmarks/large.py
	$(BIN)/python benchmarks/training.py

clean:
	rm -rf .venv hedge-demo build dist

.venv/installed-base: EXTRAS :=
.venv/installed-report: EXTRAS := [report]
.venv/installed-test: EXTRAS := [test]
.venv/installed-dev: EXTRAS := [dev]
.venv/installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.$(EXTRAS)'
	touch $@

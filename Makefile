# One thread for each process: two processes that share two cores stall otherwise.
export OMP_NUM_THREADS = 1
export MPLCONFIGDIR = $(CURDIR)/.venv/.cache/matplotlib
export PIP_NO_CACHE_DIR = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
PYTHON = python3
BIN = .venv/bin
# A further requirement, such as PIN='torch==2.6.*'.
PIN =

.PHONY: install demo picture examples docs test unit smoke lint package tables bench bench-table bench-regret bench-regret-quick bench-speed bench-tilt bench-coverage bench-mixed bench-sampling tutorial clean

install: .venv/installed

.venv/installed: setup.cfg setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[test,bench]' $(PIN)
	touch $@

demo: install
	$(BIN)/python examples/demo.py --output demo-output

# Twenty minutes of one core; two at a time with make -j2 examples. Goes on where it stopped; a script that changed is run again.
# Tables and figures of docs/experiments.md are those printed here. MNIST and UCI tables from DATA_HOME where it is.
EXAMPLES = gaussian ring mechanisms clipping images latent_mask supervised ratings rate_distortion identifiability uci
DATA_HOME = $(wildcard ../shared/data)
OPTIONS_images = $(DATA_HOME:%=--data-home %)
OPTIONS_latent_mask = $(DATA_HOME:%=--data-home %)
OPTIONS_uci = $(DATA_HOME:%=--data-home %)
OPTIONS_latent_tilt = $(DATA_HOME:%=--data-home %)
TILTS = tilt debiasing ordered_pressures latent_tilt
examples: $(EXAMPLES:%=example-output/%/done) $(TILTS:%=example-output/tilts/%.png)

example-output/%/done: examples/%.py examples/shared.py | .venv/installed
	$(BIN)/python examples/$*.py --output $(@D) $(OPTIONS_$*)
	mkdir -p docs/figures benchmarks/published/examples
	cp $(@D)/$*.json benchmarks/published/examples/
	cp $(@D)/$*.png docs/figures/
	touch $@

# Tables of the pages, from benchmarks/published; a test fails where a page differs.
tables: install
	$(BIN)/python -m benchmarks.tables

# The picture of README and front page.
picture: demo
	cp demo-output/imputed.png docs/figures/

# Figures of docs/tilt.md; numbers are printed.
example-output/tilts/%.png: examples/%.py | .venv/installed
	mkdir -p $(@D) docs/figures
	$(BIN)/python examples/$*.py --output $@ $(OPTIONS_$*)
	cp $@ docs/figures/

# docs/_build/html/index.html; warnings are errors.
docs: .venv/docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

.venv/docs: .venv/installed setup.cfg
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

lint: install
	$(BIN)/ruff check pyro_mnar tests examples benchmarks
	$(BIN)/ruff format --check pyro_mnar tests examples benchmarks
	$(BIN)/mypy pyro_mnar

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

# Of the package alone: no benchmarks, examples and pages.
unit: install
	$(BIN)/python -m pytest -q -m "not long and not script"

# Minutes: the command line and ArviZ 1.x on another Python, make smoke PYTHON=python3.13.
smoke:
	$(PYTHON) -m venv .venv-smoke
	.venv-smoke/bin/pip install --quiet '.[arviz,cli]' $(PIN)
	.venv-smoke/bin/python tests/smoke.py

# Minutes: sdist, the wheel made of it, and the wheel in an environment of nothing else, with hard requirements alone and with all.
package:
	rm -rf dist build/package
	$(PYTHON) -m venv build/package/tools
	build/package/tools/bin/pip install --quiet 'build>=1.2'
	build/package/tools/bin/python -m build --outdir dist
	$(PYTHON) -m venv build/package/empty
	cp tests/packaged.py build/package/
	build/package/empty/bin/pip install --quiet dist/*.whl $(PIN)
	cd build/package && empty/bin/python packaged.py bare
	build/package/empty/bin/pip install --quiet "$$(echo dist/*.whl)[cli]" $(PIN)
	cd build/package && empty/bin/python packaged.py cli

# Hours; goes on where it stopped. Tables, masks, methods: see `.venv/bin/python -m benchmarks.imputation --help`.
bench: install
	$(BIN)/python -m benchmarks.imputation

# Minutes: one table, one seed, other packages left out.
TABLE = banknote
bench-table: install
	$(BIN)/python -m benchmarks.imputation --tables $(TABLE) --quick --output benchmarks/results/imputation-$(TABLE)

# Hours; goes on where it stopped: what it costs to state nothing. Regrets are in benchmarks/results/imputation/regret.md.
REGRET = --methods mean mice ours ours-none ours-told ours-free
bench-regret: install
	$(BIN)/python -m benchmarks.imputation $(REGRET) --seeds 3
	$(BIN)/python -m benchmarks.imputation regret

# Half an hour: two tables of 400 rows, one seed, two members of 200 steps.
bench-regret-quick: install
	$(BIN)/python -m benchmarks.imputation $(REGRET) --tables banknote concrete --seeds 1 --rows 400 --our-steps 200 --output benchmarks/results/regret-quick
	$(BIN)/python -m benchmarks.imputation regret --our-steps 200 --output benchmarks/results/regret-quick

bench-speed: install
	for what in step scaling import; do $(BIN)/python benchmarks/speed.py $$what || exit 1; done

# Two hours; goes on where it stopped: what an energy tilt is worth where the truth is known.
bench-tilt: install
	for what in densities objectives holes starts debias constraint sampling digits tables; do $(BIN)/python -m benchmarks.tilt $$what || exit 1; done

# Minutes: whether pooled intervals cover, with and without the parameters' uncertainty.
bench-coverage: install
	$(BIN)/python -m benchmarks.coverage

# The figures of docs/tutorial.md.
tutorial: install
	$(BIN)/python examples/survey.py --steps 500 --draws 80 --jobs -1
	for name in missingness imputed estimates tipping strength; do cp example-output/survey/$$name.png docs/figures/survey-$$name.png; done

bench-mixed: install
	$(BIN)/python benchmarks/mixed_tables.py

# Effective draws a second of each sampler; white wine by chains.
bench-sampling: install
	for what in arms wine; do $(BIN)/python -m benchmarks.sampling $$what || exit 1; done

clean:
	rm -rf .venv .venv-3.12 .venv-smoke build dist demo-output example-output docs/_build docs/gallery docs/generated docs/api.rst *.egg-info

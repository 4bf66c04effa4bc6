# Everything here needs python3.11 and make, and nothing before it: each target sets up what it needs.
# The CPU build of torch, several gigabytes smaller: make setup PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"

# Where nothing compiled is kept, each of hundreds of processes in a test run compiles everything again: half of its time.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3.11
PIP_FLAGS ?=
OUT ?= build/models
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROCESSES ?= 3
CODE := $(wildcard swarmlight detector graph streaming training moderation simulation tests)

.PHONY: help setup demo docs test lint typecheck format evaluate ablation red-team bench bench-feed bench-console listen-soak bench-simulate bench-graph bench-colink bench-tables bench-sort audit-graph chaos fuzz-sources notebooks screenshots coordinate train clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 24

setup: $(READY)  ## build .venv with everything in it

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -e '.[demo,feed,simulate,train,dev]'
	touch $@

demo: $(READY)  ## watch campaigns being caught (ARGS="--seconds 60")
	$(BIN)/swarmlight demo $(ARGS)

# Dealt out by tests/scheduling.py, in the order of tests/conftest.py: Kafka's in one process, and these first.
test: $(READY)  ## the default suite, in three processes (ARGS="-k name", PROCESSES=0 for one)
	$(BIN)/python -m pytest -m "not slow" -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: $(READY)  ## the slow tests: kills and takeovers on a broker, long runs (KAFKA_HOME=folder)
	$(BIN)/python -m pytest -m slow --timeout 3600 $(ARGS)

fuzz-sources: $(READY)  ## 100,000 damaged records of every input format
	$(BIN)/python -m pytest -m slow --timeout 3600 tests/streaming/sources/test_formats.py $(ARGS)

.PHONY: flink-setup flink
flink-setup:  ## .venv-flink: swarmlight beside Apache Flink, whose pins are older than what training needs (needs Java 17)
	$(PYTHON) -m venv .venv-flink
	.venv-flink/bin/python -m pip install --quiet "setuptools>=77" wheel
	.venv-flink/bin/python -m pip install --quiet $(PIP_FLAGS) -e '.[flink]'

flink: $(READY)  ## Flink jobs held against swarmlight run: seconds, a kill, a rescale (STREAM=file)
	@test -n "$(STREAM)" || { echo 'make flink STREAM=events.jsonl.gz [ARGS="--parallelism 2 --no-faults"]' >&2; exit 2; }
	@test -x .venv-flink/bin/python || { echo 'make flink-setup first' >&2; exit 2; }
	.venv-flink/bin/python -m streaming.flink.check "$(STREAM)" --run-python $(BIN)/python $(ARGS)

notebooks: $(READY)  ## run docs/notebooks from the first cell to the last, in folders of their own
	$(BIN)/python -m pytest --timeout 3600 tests/docs/test_notebooks.py $(ARGS)

screenshots: $(READY)  ## docs/screenshots: each page of the console and a report, light, dark and on a phone (needs chromium)
	SWARMLIGHT_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/moderation/browser/test_screenshots.py \
		tests/streaming/test_report_browser.py

lint: $(READY)  ## style and common mistakes
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

typecheck: $(READY)  ## types, strictly
	$(BIN)/mypy $(CODE)

.PHONY: figures
figures: $(READY)  ## how many modules and lines there are, and what is named twice (docs/explanation/architecture.md)
	$(BIN)/python -m tests.figures

format: $(READY)  ## rewrite the code in the one style
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

evaluate: $(READY)  ## measure a stream with known truth (STREAM=file TRUTH=file)
	@test -n "$(STREAM)" -a -n "$(TRUTH)" || { echo 'make evaluate STREAM=events.jsonl.gz TRUTH=truth.jsonl' >&2; exit 2; }
	$(BIN)/swarmlight evaluate "$(STREAM)" --truth "$(TRUTH)" $(ARGS)

ablation: $(READY)  ## docs/explanation/ablation.md: what each component adds, on streams and societies (DATA=folder)
	@test -n "$(DATA)" || { echo 'make ablation DATA=folder [ARGS="--work build/ablation"]' >&2; exit 2; }
	OMP_NUM_THREADS=1 $(BIN)/python -m training.ablation --data "$(DATA)" $(foreach S,planted-dev campaigns-dev contest-dev,\
		--stream "$(DATA)/streams/$(S).jsonl.gz" "$(DATA)/streams/$(S).truth.jsonl") $(ARGS)

bench: $(READY)  ## events per second and memory on overlaid copies of a stream (STREAM=file)
	@test -n "$(STREAM)" || { echo 'make bench STREAM=events.jsonl.gz [ARGS="--copies 160"]' >&2; exit 2; }
	$(BIN)/python -m streaming.bench --input "$(STREAM)" $(ARGS)

red-team: $(READY)  ## docs/explanation/red-team.md: the detector against simulated societies and an operator who learns
	OMP_NUM_THREADS=1 $(BIN)/python -m simulation.redteam $(ARGS)

bench-simulate: $(READY)  ## events per second and memory of the simulator (ARGS="--accounts 100000")
	$(BIN)/python -m simulation.bench $(ARGS)

bench-graph: $(READY)  ## groups among 58,000 accounts on one core, on a simulated platform
	@mkdir -p build
	test -s build/platform.jsonl.gz || $(BIN)/swarmlight simulate --config graph/bench.toml --seed 1 \
		--events build/platform.jsonl.gz
	$(BIN)/python -m graph.bench groups build/platform.jsonl.gz

bench-colink: $(READY)  ## a million co-link posts, beside coordination-network-toolkit (ARGS="--posts 100000")
	test -x build/rival/bin/python || $(PYTHON) -m venv build/rival
	build/rival/bin/python -m pip install --quiet 'coordination-network-toolkit==1.5.2'
	$(BIN)/python -m graph.bench colink --rival build/rival/bin/python $(ARGS)

.PHONY: bench-assess null-societies
bench-assess: $(READY)  ## what an event costs assess as a stream grows, and what an account takes (ARGS="--events 1000000")
	OMP_NUM_THREADS=1 $(BIN)/python -m streaming.assess_bench $(ARGS)

null-societies: $(READY)  ## campaigns named wrongly, and found, in small societies; goes on where it was (ARGS="--minutes 20")
	OMP_NUM_THREADS=1 $(BIN)/python -m training.null_societies $(ARGS)

.PHONY: bench-learning
bench-learning: $(READY)  ## what decisions bring back after a drift, and how well misses are estimated (ARGS="--seeds 60")
	OMP_NUM_THREADS=1 $(BIN)/python -m training.learning_simulation $(ARGS)

audit-graph: $(READY)  ## what the same-controller model must not live on (docs/explanation/graph-model.md)
	$(BIN)/python -m pytest tests/training/test_pair_audits.py $(ARGS)

bench-tables: $(READY)  ## a hundred million rows through coordinate: seconds and memory (ARGS="--rows 1000000 --ending csv")
	$(BIN)/python -m graph.bench table $(ARGS)

bench-sort: $(READY)  ## ten million mixed events put in order: seconds and memory (ARGS="--events 1000000")
	$(BIN)/python -m streaming.sources.bench $(ARGS)

.PHONY: bench-worker
bench-worker: $(READY)  ## a live stream through Kafka and the worker: how long decisions take (STREAM=file, KAFKA_HOME=folder)
	@test -n "$(STREAM)" || { echo 'make bench-worker STREAM=events.jsonl.gz KAFKA_HOME=folder [ARGS="--rate 2500"]' >&2; exit 2; }
	$(BIN)/python -m tests.streaming.kafka.rates --input "$(STREAM)" $(ARGS)

bench-feed: $(READY)  ## the moderators' feed under load, with a kill (ARGS="--alerts 100000 --people 50")
	$(BIN)/python -m tests.moderation.load $(ARGS)

bench-console: $(READY)  ## the console's pages on 100,000 and 20,000 alerts, as multiples of /healthz (ARGS="--rounds 30")
	$(BIN)/python -m tests.moderation.bench_console $(ARGS)

listen-soak: $(READY)  ## swarmlight listen for ten minutes at 500 events a second, with ten cuts (ARGS="--seconds 60")
	$(BIN)/python -m tests.streaming.live.soak $(ARGS)

coordinate: $(READY)  ## coordinated groups in a table of who shared what, and when (TABLE=file)
	@test -n "$(TABLE)" || { echo 'make coordinate TABLE=shares.parquet' >&2; exit 2; }
	$(BIN)/swarmlight coordinate "$(TABLE)" $(ARGS)

train: $(READY)  ## fit the shipped models again (DATA=folder, OUT=folder)
	@test -n "$(DATA)" || { echo 'make train DATA=folder [OUT=folder] (docs/how-to/operate.md)' >&2; exit 2; }
	$(BIN)/swarmlight train text --data "$(DATA)" --out "$(OUT)" $(ARGS)
	$(BIN)/swarmlight train account --data "$(DATA)" --models "$(OUT)" --out "$(OUT)" $(ARGS)
	$(BIN)/swarmlight train fusion --data "$(DATA)" --models "$(OUT)" --out "$(OUT)" $(ARGS)

docs: $(READY)  ## the documentation site in build/site, every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

clean:  ## remove what setup and the tools made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build

# What a developer runs. Everything uses the virtual environment that the README's test
# command makes; PYTHON=… names another.
PYTHON ?= .venv/bin/python

.PHONY: check static format lint types test calendars docs lock exits stories histories parity fuzz bench-expand races edits notices rings \
  kills near-now heal bench-sync bench-foresight kill bench-load bench-latency bench-actions bench-leases bench-history bench-slo bench-usage bench-commands bench-suggest bench-backtest shape rules alerts metrics-truth evidence

check: static test  ## what CI runs

static: format lint types calendars docs  ## all of it but the tests

format:
	$(PYTHON) -m ruff format --check .

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

calendars:  ## every file in calendars/ is read, and its lints are shown
	$(PYTHON) -m planner validate calendars

docs:  ## the README and the documents are compared with the program
	$(PYTHON) -m pytest -q tests/test_docs.py

EXIT_RUNS ?= 200
exits:  ## `planner plan` in a row against a real server, the right exit code each time
	PLANNER_EXIT_RUNS=$(EXIT_RUNS) $(PYTHON) -m pytest -q tests/integration/test_exit_codes.py

STORIES ?= 10000
BRISK_STORIES ?= 64
STORY_SEED ?= $(shell date +%s)
stories:  ## random stories of namespaces through the real workflows: the six promises (STORY_PROCESSES=1)
	@STORIES=$(STORIES) STORY_SEED=$(STORY_SEED) BRISK_STORIES=$(BRISK_STORIES) \
	  $(PYTHON) tests/play_stories.py

histories:  ## record histories in tests/data/histories that aren't there yet; a release's own stay
	SAVE_HISTORIES=1 $(PYTHON) -m pytest -q tests/test_provision.py -k save

FUZZ_SECONDS ?= 3600
fuzz:  ## mutated calendars and iCalendar files, so long each: a bounded answer, never a traceback
	$(PYTHON) tests/fuzz_yaml.py $(FUZZ_SECONDS)
	$(PYTHON) tests/fuzz_ical.py $(FUZZ_SECONDS)

RACES ?= 50
races:  ## two syncs of different commits at once, so many times: never a mix
	PLANNER_RACES=$(RACES) $(PYTHON) -m pytest -q -s tests/integration/test_races.py -k commits

KILLS ?= 50
kills:  ## syncs killed at random points, so many times: the next one converges
	PLANNER_KILLS=$(KILLS) $(PYTHON) -m pytest -q -s tests/integration/test_races.py -k killed

NOTICE_KILLS ?= 5
notices:  ## notices over so many killed workers, to a receiver that fails half of the time
	PLANNER_NOTICE_KILLS=$(NOTICE_KILLS) $(PYTHON) -m pytest -q -s tests/integration/test_notices.py -k killed

rings:  ## a rollout over a killed sync, worker and server, and one that a real boost stops
	PLANNER_LONG_RINGS=1 $(PYTHON) -m pytest -q tests/integration/test_rings.py -k "restarts or refuses"

EDITS ?= 1000
EDITS_SEED ?= 4711
edits:  ## so many random edits of a repository of calendars: each named by the plan, each synced
	PLANNER_EDITS=$(EDITS) PLANNER_EDITS_SEED=$(EDITS_SEED) \
	  $(PYTHON) -m pytest -q -s tests/test_random_edits.py

NEAR_ROUNDS ?= 20
NEAR_SIZES ?= 20 250
near-now:  ## windows that open 0 to 15 s after a sync began, new and changed, so many times
	PLANNER_NEAR_ROUNDS=$(NEAR_ROUNDS) PLANNER_NEAR_SIZES="$(NEAR_SIZES)" \
	  $(PYTHON) -m pytest -q -s tests/integration/test_near_now.py -k many

SYNC_WINDOWS ?= 1000
SYNC_ROUNDS ?= 3
bench-sync:  ## sync 1,000 windows, beside the bare client making the same schedules
	$(PYTHON) benchmarks/sync.py $(SYNC_WINDOWS) $(SYNC_ROUNDS)

FORESIGHT_WINDOWS ?= 1000
bench-foresight:  ## a plan's impact and a year's preview of so many windows
	$(PYTHON) benchmarks/foresight.py --windows $(FORESIGHT_WINDOWS) --only impact
	$(PYTHON) benchmarks/foresight.py --windows 200 --only preview

COMMANDS ?=
bench-commands:  ## whole commands on calendars whose windows differ (AT=<revision or directory> beside them)
	$(PYTHON) benchmarks/commands.py $(if $(AT),--beside $(AT)) $(COMMANDS)

bench-expand:  ## expand and compile 10,000 windows, beside the plain loop
	$(PYTHON) benchmarks/expand_compile.py

KILL_CASES ?=
kill:  ## kill worker and server at each step of a boost (KILL_CASES='worker@posted' for some)
	$(PYTHON) benchmarks/kill.py $(KILL_CASES)

heal:  ## break what boosts depend on, and count until all is as it should be (half an hour)
	$(PYTHON) benchmarks/heal.py

LOAD ?= 1000
bench-load:  ## so many namespaces boosted in the same minute, by one worker
	$(PYTHON) benchmarks/load.py $(LOAD)

FIRINGS ?= 100
bench-latency:  ## from a schedule's firing to the capacity request on the wire
	$(PYTHON) benchmarks/latency.py $(FIRINGS)

SLO ?=
bench-slo:  ## latencies and poll sync rate of two workers under load (SLO="BOOSTS SECONDS pollers=2-10")
	$(PYTHON) benchmarks/slo.py $(SLO)

LEASES ?= 2000
LEASE_KILLS ?= 6
bench-leases:  ## so many leases on one keeper, whose worker is killed meanwhile
	$(PYTHON) benchmarks/leases.py $(LEASES) $(LEASE_KILLS)

ALERTS ?=
alerts:  ## each alert made to fire by a real fault, and to resolve, as a real Prometheus sees it
	$(PYTHON) benchmarks/alerts.py $(ALERTS)

TRUTH_SECONDS ?= 180
metrics-truth:  ## a scrape a second of a run with faults, each gauge against the simulator's truth
	$(PYTHON) benchmarks/metrics_truth.py $(TRUTH_SECONDS)
LOOK_BACK ?= 10000
bench-history:  ## look back on so many boosts, on a server filled with stand-ins
	$(PYTHON) benchmarks/history.py $(LOOK_BACK)

SUGGEST ?= 200
bench-suggest:  ## windows found in so many random worlds, beside two baselines (needs statsmodels)
	$(PYTHON) benchmarks/suggest.py $(SUGGEST)

bench-backtest:  ## calendars over a year of minutes: time, memory, requests, beside the bare fetch
	$(PYTHON) benchmarks/backtest.py

rules:  ## the alert rules for the Prometheus operator, from those for any Prometheus
	$(PYTHON) deploy/prometheus/for_operator.py

bench-actions:  ## what a boost costs in Actions, beside the published pattern
	$(PYTHON) benchmarks/actions.py

USAGE_NAMESPACES ?= 50
bench-usage:  ## a year of minutes of so many namespaces, read from a real Prometheus and backtested
	$(PYTHON) benchmarks/usage.py $(USAGE_NAMESPACES)

evidence:  ## from three months of usage to rules, boosts, verdicts and the bill (minutes)
	$(PYTHON) benchmarks/evidence.py

UV_COMPILE = uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links pyproject.toml
lock:  ## pin today's versions for every platform: all of them, and the run time's, for pushed fleets too, with hashes (needs uv)
	$(UV_COMPILE) --all-extras -o requirements.lock
	$(UV_COMPILE) --extra kubernetes --generate-hashes -c requirements.lock -o requirements-runtime.lock

AT ?=
shape:  ## sizes, imports, and what a plan runs through (AT=<revision or directory> beside it)
	$(PYTHON) benchmarks/shape.py $(AT)

PARITY_EXAMPLES ?= 1000
PARITY_SEED ?= $(shell date +%s)
parity:  ## random windows: what the compiler says against what a real server fires
	PARITY_EXAMPLES=$(PARITY_EXAMPLES) PARITY_SEED=$(PARITY_SEED) \
	  $(PYTHON) -m pytest -q tests/integration/test_parity.py

.PHONY: examples recording workflows manifests package wheel sbom lowest servers
examples:  ## what `planner init --github` writes, as examples/github shows it
	rm -rf examples/github && mkdir -p examples/github
	cd examples/github && $(abspath $(PYTHON)) -m planner init --github --project payments-platform \
	  --namespace payments-prod.a1b2c --timezone America/New_York --country US </dev/null
	rm -rf examples/github/calendars/.schema  # printed by `planner schema`, and longer than the rest

recording:  ## record planner demo as docs/images/demo.svg, for the README (a minute)
	$(PYTHON) docs/recording.py

workflows:  ## lint the workflows for GitHub, ours and those of examples/ (needs uv)
	.ci/lint-workflows

manifests:  ## the Dockerfile, the manifests and the unit against linters and schemas (needs uv)
	.ci/lint-manifests

package:  ## sdist and wheel into dist/, as an index would take them (needs uv)
	rm -rf dist && uv build --quiet
	uvx --quiet twine check --strict dist/*
	uvx --quiet check-wheel-contents --toplevel planner,workflows dist/*.whl

wheel:  ## the wheel of dist/ on each Python that is there, from an empty directory (needs uv)
	.ci/try-wheel dist/*.whl

sbom:  ## what the run time is made of, as CycloneDX, into sbom/ (needs uv and a built wheel)
	rm -rf sbom && mkdir -p sbom && uv venv --quiet sbom/venv
	uv pip install --quiet --python sbom/venv/bin/python --require-hashes -r requirements-runtime.lock
	uv pip install --quiet --python sbom/venv/bin/python --no-deps dist/*.whl
	uvx --quiet --from cyclonedx-bom cyclonedx-py environment --pyproject pyproject.toml \
	  --mc-type application --output-reproducible -o sbom/planner.cdx.json sbom/venv/bin/python
	rm -rf sbom/venv

LOWEST_TESTS = $(filter-out $(wildcard $(patsubst %,tests/test_%*.py,stories rehearsal docs \
  package)),$(wildcard tests/test_*.py))
lowest:  ## the tests without a dev server, on the oldest versions that pyproject.toml allows (needs uv)
	rm -rf .venv-lowest && uv venv --quiet --python 3.11 .venv-lowest
	uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -e '.[test]'
	.venv-lowest/bin/python -m pytest -q -n logical $(LOWEST_TESTS)

servers:  ## a calendar synced, changed and boosted on servers of older versions (needs uv)
	PYTHON=$(PYTHON) .ci/try-servers

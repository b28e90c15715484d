# The commands of Countersign. `make` alone prints them. Needs Python >= 3.11 with venv, make, git.
PYTHON ?= python3
# What `make build` builds for: `local` is this machine and its Python, `lambda` is RUNTIME on ARCHITECTURE.
PLATFORM ?= local
RUNTIME ?= python3.13
ARCHITECTURE ?= arm64
# What `make deploy` makes, with $(STACK)-migrations before it; $(STACK)-database may be there already.
STACK ?= countersign

VENV := .local/venv
PY := $(VENV)/bin/python
SAM := .local/sam/bin/sam
export PLATFORM RUNTIME ARCHITECTURE
export PYTHONPATH := layers/shared:.
# SAM keeps its settings here rather than in the home folder, and reports nothing.
export __SAM_CLI_APP_DIR := $(CURDIR)/.local/sam-settings
export SAM_CLI_TELEMETRY := 0
CODE := $(wildcard layers/shared functions migrations local tools tests bench)

.DEFAULT_GOAL := help
.PHONY: help run demo down redrive sam-local test check format lint types imports templates events schema-check \
  openapi-check layers-check build bench-coldstart bench-ingest bench-ingestion bench-local bench-mail bench-replies bench-retrieval bench-search deploy openapi schema locks clean venv aws sam peer

help: ## print this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

# Running

run: venv aws sam ## the whole stack on this machine, until Ctrl-C
	@$(PY) -m local run
demo: venv aws sam ## message, draft, approval, delivery, verified record: once, and stop
	@$(PY) -m local demo
down: venv ## end what `make run` left running
	@$(PY) -m local down
redrive: venv ## QUEUE=inbound|drafts|outbound|attachments|index|crawl|relay: put its dead letters back
	@test -n "$(QUEUE)" || { echo 'Name the queue: make redrive QUEUE=inbound|drafts|outbound|attachments|index|crawl|relay'; exit 2; }
	@$(PY) -m local redrive $(QUEUE)
sam-local: venv ## a template for `sam local invoke` against a running `make run`, where Docker exists
	@$(PY) -m local container-template

# Holding

# A part (make test T=tests/unit) has no coverage to reach; the whole does.
T ?= tests
COVERAGE := $(if $(filter tests,$(T)),--cov --cov-report=term:skip-covered)
test: venv aws build ## all tests, or a part: make test T=tests/unit
	@$(PY) -m pytest $(COVERAGE) $(T)
check: format lint types imports templates events layers-check schema-check openapi-check ## everything that needs no test run
	@echo 'Everything holds.'
format: venv
	@$(VENV)/bin/ruff format --check .
lint: venv
	@$(VENV)/bin/ruff check .
types: venv
	@$(VENV)/bin/mypy $(CODE)
imports: venv
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) -m tools.imports
templates: venv sam
	@.local/sam/bin/python tools/templates.py
events: venv
	@$(PY) -m tools.events
layers-check: build
	@$(PY) -m tools.layers
schema-check: venv
	@$(PY) -m tools.schema --check
openapi-check: venv
	@$(PY) -m tools.openapi --check
bench-coldstart: venv build ## start of each built function, beside its libraries alone
	@$(PY) -m bench.coldstart
bench-ingest: venv ## messages per second through ingest, beside hand-written SQL
	@$(PY) -m bench.ingest
bench-ingestion: venv ## indexing beside its encoder, and what a large text and a long PDF take
	@$(PY) -m bench.ingestion
bench-local: venv aws sam ## seconds of make run: its starts, and its reloading of changed code
	@$(PY) -m bench.local_stack
bench-mail: venv ## MAIL=FOLDER: reads every file in it as a mail; SHOW=1 prints what was said
	@test -n "$(MAIL)" || { echo 'Name a folder of mails: make bench-mail MAIL=FOLDER'; exit 2; }
	@$(PY) -m bench.mail "$(MAIL)"
bench-replies: venv ## what is found to have been said in mails, beside what people judged: REPLIES="FOLDER …"
	@test -n "$(REPLIES)" || { echo 'Name folders of bench/replies.py: make bench-replies REPLIES="FOLDER …"'; exit 2; }
	@$(PY) -m bench.replies $(REPLIES)
bench-retrieval: venv ## FAQ=FILE SEED=1: questions that find their documents, by vectors, words and both
	@test -n "$(FAQ)" || { echo 'Name a file of questions: make bench-retrieval FAQ=FILE'; exit 2; }
	@$(PY) -m bench.retrieval "$(FAQ)" --seed $(or $(SEED),1)
bench-search: venv peer ## vectors at scale, beside SQL and langchain-postgres; SCALE=0.1, GROWTH=1
	@$(PY) -m $(if $(GROWTH),bench.search_growth,bench.search --scale $(or $(SCALE),1))

# Making

build: venv sam ## functions and layers into .aws-sam, for PLATFORM=local|lambda
	@$(PY) -m tools.build
deploy: venv sam ## to AWS: migrations, the application, migrations again; STACK=countersign
	@$(PY) -m tools.deploy $(STACK)
openapi: venv ## write docs/openapi.json
	@$(PY) -m tools.openapi
schema: venv ## write migrations/schema.sql
	@$(PY) -m tools.schema

COMPILE = .local/uv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
  --no-emit-index-url --custom-compile-command 'make locks' $(UPGRADE)
locks: venv ## write the lock files; UPGRADE=--upgrade takes newer versions
	$(COMPILE) requirements/uv.in -o requirements/uv.lock
	$(COMPILE) requirements/layer.in -o requirements/layer.lock
	$(COMPILE) requirements/migrations.in -c requirements/layer.lock -o functions/migrations/requirements.txt \
	  --no-emit-package sqlalchemy --no-emit-package typing-extensions
	$(COMPILE) requirements/mail.in -o functions/ingest/requirements.txt
	$(COMPILE) requirements/attachments.in -o functions/attachments/requirements.txt
	$(COMPILE) requirements/index.in -c requirements/layer.lock -o functions/index/requirements.txt \
	  --no-emit-package typing-extensions
	$(COMPILE) requirements/crawl.in -o functions/crawl/requirements.txt
	$(COMPILE) requirements/dev.in -o requirements/dev.lock
	$(COMPILE) requirements/local-aws.in -o requirements/local-aws.lock
	$(COMPILE) requirements/sam.in -o requirements/sam.lock
	$(COMPILE) requirements/peer.in -o requirements/peer.lock
clean: ## remove what was built and cached; the local stack's data and environments stay
	@rm -rf .aws-sam .local/build .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# Environments

venv:
	@$(PYTHON) tools/environment.py $(VENV) requirements/dev.lock
aws:
	@$(PYTHON) tools/environment.py .local/aws requirements/local-aws.lock
sam:
	@$(PYTHON) tools/environment.py .local/sam requirements/sam.lock
peer:
	@$(PYTHON) tools/environment.py .local/peer requirements/peer.lock

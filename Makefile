# Every target does its own set-up. `make` alone prints this help.
.DEFAULT_GOAL := help
PYTHON ?= python3
TOOLS := .venv/bin/python
GATEWAY ?= onnx_py
PROFILE ?= quick
SOAKED = $(if $(filter command line environment,$(origin GATEWAY)),$(GATEWAY),split)
# Narrow a campaign: CONCURRENCY=1,16 GATEWAYS=python,onnx_py DEVICE=cpu; PEERS=1 adds the peers. RESUME=1 goes on
# with the newest unfinished one of the profile. DEVICE=cpu,cuda enters targets on both.
BENCH_OPTIONS := --profile $(PROFILE) $(if $(CONCURRENCY),--concurrency $(CONCURRENCY)) \
	$(if $(GATEWAYS),--gateways $(GATEWAYS)) $(if $(DEVICE),--device $(DEVICE)) $(if $(PEERS),--peers) \
	$(if $(BLOCKS),--blocks $(BLOCKS)) $(if $(TRACE),--trace $(TRACE)) $(if $(RESUME),--resume)

# Locust's own campaign, or cells of one that exists: CAMPAIGN=<its name>.
LOCUST_OPTIONS = --gateways $(GATEWAY) --scenarios closed,second_opinion --concurrency $(or $(USERS),16) \
	--locust-workers $(or $(WORKERS),2) --locust-seconds $(or $(SECONDS),20) $(if $(CAMPAIGN),--campaign $(CAMPAIGN))
RECOMMEND_OPTIONS = --rps $(or $(RPS),100) $(if $(P95_MS),--p95-ms $(P95_MS)) $(if $(P99_MS),--p99-ms $(P99_MS)) \
	$(if $(ROUTE),--route $(ROUTE)) $(if $(RAM_GB),--ram-gb $(RAM_GB)) $(if $(VCPU),--vcpu $(VCPU)) \
	$(if $(PRICE_HOUR),--price-hour $(PRICE_HOUR)) $(if $(GPU_PRICE_HOUR),--gpu-price-hour $(GPU_PRICE_HOUR)) \
	$(if $(HEADROOM),--headroom $(HEADROOM)) $(CAMPAIGN)

.PHONY: help setup setup-tests models run bench bench-locust quality fusion storage costs recommend report test test-system test-slow test-all contract conformance fuzz faults mutants soak n8n images footprint audit check format hooks lock clean

help: ## print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## environments, weights, ONNX graphs, reference vectors (PEERS=1: the peers' too)
	@$(PYTHON) scripts/setup.py $(if $(PEERS),--peers)

setup-tests:
	@$(PYTHON) scripts/setup.py --tests

models: setup ## fetch and export models of models.yaml: MODEL="<id or alias> ..."
	@$(TOOLS) -m scripts.models.fetch $(MODEL) && $(TOOLS) -m scripts.models.export_onnx $(MODEL)

run: setup ## serve GATEWAY=python|onnx_py|split|pseudo [PORT= DATA_DIR= PRECISION=fp32|int8 DEVICE= THREADS=]
	@$(TOOLS) -m scripts.run_gateway $(GATEWAY)

bench: setup ## verify, then measure, then recommend [PROFILE=quick|full PEERS=1 CONCURRENCY= GATEWAYS= DEVICE=cpu,cuda BLOCKS= TRACE=log.jsonl RESUME=1]
	@$(TOOLS) -m bench run $(BENCH_OPTIONS)

bench-locust: setup ## the driver, then Locust: master and WORKERS=2 here [GATEWAY= USERS=16 SECONDS=20 CAMPAIGN=]
	@$(TOOLS) -m bench run $(LOCUST_OPTIONS)

quality: setup ## what each way of searching finds, takes and stores [GATEWAYS=onnx_py QUESTIONS=2000 BEIR=<folder> GLUED=1 OUT=]
	@$(TOOLS) -m bench quality --gateways $(or $(GATEWAYS),onnx_py) $(if $(QUESTIONS),--questions $(QUESTIONS)) \
		$(if $(BEIR),--beir $(BEIR)) $(if $(OUT),--out $(OUT)) $(if $(GLUED),--glued)

fusion: setup ## fit the weights that fuse rankings, on SQuAD and three corpora that it fetches [GATEWAY= OUT=]
	@$(TOOLS) -m scripts.studies.fetch_corpora
	@$(TOOLS) -m bench fusion squad .cache/corpora/* --gateway $(GATEWAY) $(if $(OUT),--out $(OUT))

storage: setup ## what the stored vectors of tokens cost and lose, on the same corpora [OUT=]
	@$(TOOLS) -m scripts.studies.fetch_corpora
	@$(TOOLS) -m scripts.studies.token_storage --corpus squad --beir .cache/corpora/* $(if $(OUT),--out $(OUT))

costs: setup ## where a pass's time and a process's memory go, by operator and by kind of page [OUT=]
	@$(TOOLS) -m scripts.studies.pass_profile $(if $(OUT),--out $(OUT))

recommend: ## shape, replicas, memory, cost: RPS=500 [P95_MS= P99_MS= ROUTE= RAM_GB= VCPU= PRICE_HOUR= GPU_PRICE_HOUR= CAMPAIGN=results/campaigns/…]
	@$(TOOLS) -m bench recommend $(RECOMMEND_OPTIONS)

report: ## make plots and report.html of a campaign again: CAMPAIGN=results/campaigns/<machine>/<campaign>
	@$(TOOLS) -m bench report $(CAMPAIGN)

test: setup-tests ## what decides, on all four real gateways, in two processes [GATEWAYS=onnx_py PYTEST="-k keys"]
	@$(TOOLS) -m scripts.test -m "not slow" $(PYTEST)

test-system: setup-tests ## faults, stores, attacks, fuzzing and the harness, on processes of their own [GATEWAYS= PYTEST=]
	@$(TOOLS) -m scripts.test --suite system -m "not slow" $(PYTEST)

test-slow: setup-tests ## what measures or takes minutes, one test after the other [GATEWAYS= PYTEST=]
	@$(TOOLS) -m scripts.test --suite all -m slow $(PYTEST)

test-all: test test-system test-slow ## every test

contract: setup ## the contract tests against any server: GATEWAY_URL=http://... [GATEWAY_METRICS_URL=]
	@GATEWAY_URL=$(GATEWAY_URL) $(TOOLS) -m pytest tests/contract

conformance: setup ## hold any server to a dialect: TARGET=http://...|<target> DIALECT=openai|tei [NAME= MODEL= API_KEY=]
	@$(TOOLS) -m scripts.checks.conformance $(TARGET) $(DIALECT) $(if $(NAME),--name $(NAME))

fuzz: setup ## 10,000 requests made from /openapi.json to pseudo and onnx_py, as many in turns, 100,000 raw ones [GATEWAYS= CASES= RAW=]
	@FUZZ_CASES=$(or $(CASES),10000) FUZZ_RAW_CASES=$(or $(RAW),100000) FUZZ_WIRE_RUNS=500000 $(TOOLS) -m pytest tests/fuzz -s

faults: setup ## the faults that RELIABILITY.md lists, each into real processes; ROUNDS=100 of kill -9
	@FAULT_ROUNDS=$(or $(ROUNDS),100) $(TOOLS) -m pytest tests/system/faults -v

consistency: setup ## random operations and faults against three deployments, compared with a model [STEPS=50000 SEED=1]
	@CONSISTENCY_STEPS=$(or $(STEPS),50000) $(if $(SEED),CONSISTENCY_SEED=$(SEED)) $(TOOLS) -m pytest tests/system/consistency -v

mutants: setup ## make small faults in a copy of the tree: the nearest tests must notice 9 of 10 [NAME="replica"]
	@$(TOOLS) -m scripts.checks.mutants $(NAME)

soak: setup ## MINUTES=20 of load with a fault every minute, into results/soak [GATEWAY=split FAULTS=0|1 OUT=]
	@$(TOOLS) -m scripts.soak --gateway $(SOAKED) --minutes $(or $(MINUTES),20) --faults $(or $(FAULTS),1) \
		$(if $(OUT),--out $(OUT))

n8n: setup ## the workflows of docs/call-it-from-n8n.md in n8n itself, which npm installs [GATEWAYS=onnx_py]
	@mkdir -p .cache/n8n && cp tests/deploy/n8n/package.json .cache/n8n
	@cd .cache/n8n && npm install --ignore-scripts --no-audit --no-fund --loglevel=error && npm rebuild sqlite3
	@N8N=1 $(TOOLS) -m pytest tests/deploy/n8n -v

images: setup ## build every image, and hold it to the whole contract as compose runs it [ENGINE=docker|podman BUILD_OPTIONS=]
	@IMAGES=1 ENGINE=$(ENGINE) BUILD_OPTIONS="$(BUILD_OPTIONS)" $(TOOLS) -m pytest tests/deploy/images -v

footprint: setup ## what each gateway takes on disk: packages, model files, and its images where an engine has them
	@$(TOOLS) -m scripts.checks.footprint

audit: setup ## known vulnerabilities, unsafe code, secrets; an SBOM of each gateway in build/sbom
	@$(PYTHON) scripts/setup.py --audit && $(TOOLS) -m scripts.checks.audit

check: setup ## formatting, lint, types, import contracts, deploy files
	@$(TOOLS) -m ruff format --check . && $(TOOLS) -m ruff check . && $(TOOLS) -m mypy
	@.venv/bin/lint-imports --no-cache && $(TOOLS) -m scripts.checks.fetch_helm && $(TOOLS) -m scripts.checks.deploy

format: ## rewrite the code in the house style
	@$(TOOLS) -m ruff format . && $(TOOLS) -m ruff check --fix .

hooks: ## let git check the subject of each commit that is made here
	@git config core.hooksPath .githooks

lock: ## write constraints.txt from .venv, and the hashes of its files
	@$(TOOLS) -m scripts.lock

clean: ## remove what setup made; results/ stays
	@rm -rf .venv .venvs .cache models build *.egg-info

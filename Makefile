# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Where pictures come from: empty keeps the last choice (at first the drawn tiles); a folder; Label Studio's export
# (.json); or `magnetic-tile`.
DATA ?=
# A CSV `path,group` that names the object each picture shows; only for a folder or an export.
GROUPS ?=
# A CSV `path,label` that names the class of each picture, where folders do not; only for a folder.
LABELS ?=
# The class that is no defect ("good"), for figures of 'defect or not'; only for a folder or an export.
NORMAL ?=
# What may be left out: pictures that are `unreadable` or of `rare` classes, each listed in data/skipped.csv, and `masks`
# of pictures without one; several by commas; only for a folder.
SKIP ?=
# `top`: each folder at the top is a class, whatever lies in it; only for a folder.
CLASSES ?=
# `given` keeps the sides of a folder that is divided already, `ours` divides it here, by object; only for a folder. `new`
# divides all pictures anew, with another test set; otherwise those that were there keep their side.
SPLIT ?=
# What the model tells: `classify` (the class of a picture, also if empty), `segment` (outlines, from masks), `detect`
# (boxes of objects) or `crops` (what is in a box that a detector found); the Bento may hold `both` of the first two.
TASK ?=
# Anything here makes `make bench` a short run.
QUICK ?=
# Why a model that is worse than the registered one is taken all the same: docs/COMPARISON.md.
ACCEPT_WORSE ?=
# What the image of `make containerize` computes on: cpu (also if empty) or gpu.
DEVICE ?=
# What builds it: docker, podman or buildah.
ENGINE ?= docker
# Training processes on this machine; one a GPU.
NPROC ?= 1
PORT ?= 3000
# Pictures to be labelled, of `make labels`, and where Label Studio listens.
PICTURES ?=
LABELS_PORT ?= 8080
export NPROC
# Of these only what is typed after `make` counts: an environment may hold a DATA or GROUPS of something else. It reaches
# commands by the environment, unread by make and the shell: a path may hold any character.
typed = $(if $(filter command,$(firstword $(origin $1))),$(value $1))
export TYPED_DATA := $(call typed,DATA)
export TYPED_GROUPS := $(call typed,GROUPS)
export TYPED_LABELS := $(call typed,LABELS)
export TYPED_NORMAL := $(call typed,NORMAL)
export TYPED_SKIP := $(call typed,SKIP)
export TYPED_CLASSES := $(call typed,CLASSES)
export TYPED_SPLIT := $(call typed,SPLIT)
export TYPED_ACCEPT_WORSE := $(call typed,ACCEPT_WORSE)
export TYPED_PICTURES := $(call typed,PICTURES)
ONLY_TYPED := DATA GROUPS LABELS NORMAL SKIP CLASSES SPLIT TASK ACCEPT_WORSE PICTURES DEVICE
NOT_TAKEN := $(foreach name,$(ONLY_TYPED),$(if $(value $(name)),$(if $(filter environment,$(firstword $(origin $(name)))),$(name))))
unexport $(ONLY_TYPED)

TYPED_TASK := $(or $(call typed,TASK),classify)
ifeq ($(filter classify segment detect crops both,$(TYPED_TASK)),)
  $(error TASK is $(TYPED_TASK), which is none of classify, segment, detect, crops and, of the Bento, both)
endif
TYPED_DEVICE := $(or $(call typed,DEVICE),cpu)
ifeq ($(filter cpu gpu,$(TYPED_DEVICE)),)
  $(error DEVICE is $(TYPED_DEVICE), which is neither cpu nor gpu)
endif
# Where the stages of that task are described, and what its other commands are told.
NAME_OF_segment := segmentation
NAME_OF_detect := detection
NAME_OF_crops := crop-classification
TASK_NAME := $(NAME_OF_$(TYPED_TASK))
PIPELINE := $(patsubst %,%/dvc.yaml:,$(TASK_NAME:crop-classification=detection/crops))
OF_TASK := $(TASK_NAME:%=--task %)
OF_BENTO := $(if $(filter both,$(TYPED_TASK)),--task both,$(OF_TASK))
# Other targets would do their work for classification without a word.
KNOW_OWN := train predict eval export review card register mlflow
KNOW_BOTH := help setup source data load split inspect register bento serve containerize $(if $(filter crops,$(TYPED_TASK)),,demo)
KNOW_BOTH += $(if $(filter detect crops,$(TYPED_TASK)),,bench)
KNOW_BOTH += $(if $(filter both crops,$(TYPED_TASK)),,labels labels-pull)
NOT_OF_TASK := $(filter-out $(KNOW_BOTH) $(if $(PIPELINE),$(KNOW_OWN)),$(MAKECMDGOALS))
ifneq ($(if $(filter-out classify,$(TYPED_TASK)),$(NOT_OF_TASK)),)
  $(error TASK=$(TYPED_TASK) is not for $(NOT_OF_TASK), but for $(strip $(KNOW_BOTH) $(if $(PIPELINE),$(KNOW_OWN))))
endif

# DVC asks for the user's name; a container may run under a number that has none.
ifeq ($(LOGNAME)$(USER),)
export USER := $(shell id -u)
endif

# Commands run as `python -m`: a script of an environment that was not made to be moved begins with its old path.

# Nothing phones home.
export BENTOML_DO_NOT_TRACK := True
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export NO_ALBUMENTATIONS_UPDATE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export ORT_DISABLE_TELEMETRY := 1

BIN := .venv/bin
PYTHON := $(BIN)/python
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 23
	@echo "Of other models than the classifier: TASK=segment, detect or crops; files in artifacts/segmentation, detection, detection/crops."

.PHONY: setup
setup: .venv/train.stamp data/source.yaml ## install what training and serving need into .venv

.venv/train.stamp: requirements/install.sh requirements/train.txt requirements/uv.txt
	@requirements/install.sh train

.venv/dev.stamp: requirements/install.sh requirements/dev.txt requirements/uv.txt
	@requirements/install.sh dev

NOTE_SOURCE = $(PYTHON) -m dataset.stage dataset.source --groups="$$TYPED_GROUPS" --normal="$$TYPED_NORMAL" \
	$${TYPED_SKIP:+--skip="$$TYPED_SKIP"} $${TYPED_CLASSES:+--classes="$$TYPED_CLASSES"} \
	$${TYPED_LABELS:+--labels="$$TYPED_LABELS"} $${TYPED_SPLIT:+--split="$$TYPED_SPLIT"} \
	--out data/source.yaml -- "$$TYPED_DATA"

# A run writes dvc.lock, which git shall not see until somebody wants to commit a run of their own: `make track`.
data/source.yaml: | .venv/train.stamp
	@$(PYTHON) -m dataset.lock_in_git hide
	@$(NOTE_SOURCE)

.PHONY: not-taken source
not-taken:
	@$(foreach name,$(NOT_TAKEN),echo "$(name) of the environment is not taken; type it to take it: make $(MAKECMDGOALS) $(name)=..." >&2;)
source: setup not-taken
	@$(PYTHON) -m dataset.lock_in_git hide
	@$(NOTE_SOURCE)

# Told now, not after the training.
.PHONY: store
store: .venv/train.stamp
	@$(PYTHON) -m export.store

# Each stage of the task's dvc.yaml, with the stages before it; what is up to date is skipped.
.PHONY: data load split train predict compare inspect eval export review card
data: split ## pictures -> manifest with splits (DATA=, GROUPS=, LABELS=, SPLIT=)
load: source
	@$(PYTHON) -m dvc repro load
split: source
	@$(PYTHON) -m dvc repro split
train: source ## -> artifacts/training/checkpoint.pt (NPROC=)
	@$(PYTHON) -m dvc repro $(PIPELINE)train
predict: source
	@$(PYTHON) -m dvc repro $(PIPELINE)predict
compare: source
	@$(PYTHON) -m dvc repro compare
inspect: source ## -> artifacts/inspection: image statistics, near-duplicates
	@$(PYTHON) -m dvc repro inspect
eval: source ## -> artifacts/evaluation/report.html
	@$(PYTHON) -m dvc repro $(PIPELINE)evaluate
export: source ## -> artifacts/export/model.onnx, parity proven
	@$(PYTHON) -m dvc repro $(PIPELINE)export
review: source ## -> artifacts/review: robustness, and where the model looks
	@$(PYTHON) -m dvc repro $(PIPELINE)review
card: source ## -> artifacts/MODEL_CARD.md
	@$(PYTHON) -m dvc repro $(PIPELINE:=card)

.PHONY: register
ifeq ($(TYPED_TASK),both)
register:
	@$(MAKE) --no-print-directory register TASK=classify
	@$(MAKE) --no-print-directory register TASK=segment
else
register: store card ## both models into the BentoML model store
	@$(if $(filter crops,$(TYPED_TASK)),$(MAKE) --no-print-directory register TASK=detect)
	@echo "register: both models into the BentoML model store, if no worse than the registered ones; some 10 seconds"
	@$(PYTHON) -m export.register $(OF_TASK) $${TYPED_ACCEPT_WORSE:+--accept-worse="$$TYPED_ACCEPT_WORSE"}
endif

.PHONY: mlflow
mlflow: card ## report, card and figures into the training run's MLflow record
	@$(PYTHON) -m training.log_evaluation $(OF_TASK)

.PHONY: bento
bento: register ## -> a versioned Bento, vision:latest
	@echo "bento: builds the Bento of the service and the model; some 10 seconds"
	@$(PYTHON) -m export.bento $(OF_BENTO) $${TYPED_ACCEPT_WORSE:+--accept-worse="$$TYPED_ACCEPT_WORSE"}

.PHONY: serve
serve: bento ## serve the Bento on the loopback (PORT=)
	@$(PYTHON) -m bentoml serve vision:latest --host 127.0.0.1 --port $(PORT)

# From where temporary files lie: BentoML copies the Bento there, and reads no Dockerfile from outside the current folder.
# Podman's own format has no health check.
.PHONY: containerize
containerize: bento ## -> a container image, vision:cpu or vision:gpu (DEVICE=, ENGINE=)
	@cd "$${TMPDIR:-/tmp}" && PYTHONSAFEPATH=1 $(CURDIR)/$(PYTHON) -m bentoml containerize vision:latest --backend $(ENGINE) --opt build-arg=DEVICE=$(TYPED_DEVICE) \
	  $(if $(filter docker,$(ENGINE)),,--opt format=docker) -t vision:$(TYPED_DEVICE)

ifeq ($(TYPED_TASK),classify)
  IN_ALL := , some 6 minutes in all
endif
.PHONY: demo before-demo
demo: before-demo bento ## everything, from pictures to the answers of a served Bento (DATA=)
	@echo "demo: serves the Bento and asks it about one test picture of each class; some 10 seconds"
	@$(if $(PIPELINE),,$(PYTHON) demo.py)
	@$(if $(filter classify,$(TYPED_TASK)),,$(PYTHON) demo.py --task $(or $(TASK_NAME),segmentation))

before-demo: setup
	@echo "From pictures to a served Bento: each stage says what it does and about how long it takes for the 720 drawn pictures"
	@echo "on 2 cores$(IN_ALL). What is up to date is skipped; after an interruption the same command goes on."

# Label Studio has an environment of its own, and what people said with it is kept in labels/: docs/ANNOTATION.md.
.venv-labels/labels.stamp: requirements/install.sh requirements/labels.txt requirements/uv.txt
	@requirements/install.sh labels

.PHONY: labels labels-pull
labels: not-taken .venv/train.stamp .venv-labels/labels.stamp ## label pictures in Label Studio, with the model's suggestions (PICTURES=)
	@$(PYTHON) -m annotation.labels $(OF_TASK) --port $(LABELS_PORT) $${TYPED_PICTURES:+--pictures="$$TYPED_PICTURES"}
labels-pull: not-taken .venv/train.stamp .venv-labels/labels.stamp ## what was labelled -> labels/, for make data
	@$(PYTHON) -m annotation.labels_pull $(OF_TASK) --port $(LABELS_PORT)

.venv-bench/bench.stamp: requirements/install.sh requirements/bench.txt requirements/triton.txt requirements/uv.txt
	@requirements/install.sh bench

.PHONY: bench
bench: bento .venv-bench/bench.stamp ## our server and its peers under load -> artifacts/benchmarks (QUICK=1)
	@$(if $(PIPELINE),,.venv-bench/bin/python -m benchmarks.serve_load $(if $(QUICK),--quick))
	@$(if $(filter classify,$(TYPED_TASK)),,.venv-bench/bin/python -m benchmarks.segment_load $(if $(QUICK),--quick))

.PHONY: bench-pipeline
bench-pipeline: setup ## where the time of /detect goes, and what batching crops gains -> artifacts/benchmarks (QUICK=1)
	@$(PYTHON) -m benchmarks.pipeline_load $(if $(QUICK),--quick)

# What to look at before a long run: docs/INPUT_PIPELINE.md.
.PHONY: overfit lr-finder loader-probe
overfit: split ## can the model learn 24 pictures by heart?
	@$(PYTHON) -m training.overfit
lr-finder: split ## loss over learning rate -> artifacts/lr_finder/lr_finder.png
	@$(PYTHON) -m training.lr_finder
loader-probe: split ## images/s for loader processes x prefetch
	@$(PYTHON) -m training.loader_probe

.PHONY: bench-input
bench-input: setup ## reading pictures, against torchvision's ImageFolder -> artifacts/benchmarks (QUICK=1)
	@$(PYTHON) -m benchmarks.input_pipeline $(if $(QUICK),--quick)

.PHONY: reference-card
reference-card: ## make the last run's card MODEL_CARD.md, the reference model's
	@cp artifacts/MODEL_CARD.md MODEL_CARD.md

.PHONY: track
track: .venv/train.stamp ## let git see dvc.lock and DVC see git, to commit and compare runs of your own
	@$(PYTHON) -m dataset.lock_in_git show

# Files in the order of tests/order.py, the longest first; the slowest 25 tests and files are printed.
PYTEST = $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 25

.PHONY: lint check test
lint: .venv/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(PYTHON) -m mypy
check: lint ## lint, types and every test that is not slow: for every edit
	@$(PYTEST) -m "not slow and not label_studio"
test: lint ## lint, types and all tests but those of test-labels and test-container
	@$(PYTEST) -m "not label_studio"

.PHONY: test-labels
test-labels: .venv/dev.stamp .venv-labels/labels.stamp ## the tests of labelling that start a real Label Studio
	@$(PYTHON) -m pytest tests/annotation -m label_studio

.PHONY: test-slurm
test-slurm: .venv/dev.stamp ## the tests of jobs alone, on a two-node cluster that they start (apt-get install slurm-wlm munge)
	@$(PYTHON) -m pytest tests/slurm

.PHONY: test-container
test-container: .venv/dev.stamp ## build the image for CPUs, run it read-only, ask it, stop it under load (apt-get install podman)
	@BENTO_VISION_TEST_CONTAINER=1 $(PYTHON) -m pytest -s tests/container

.PHONY: test-page
test-page: .venv/dev.stamp ## the tests of the page at /ui alone, in a real Chromium (apt-get install chromium fonts-dejavu-core)
	@$(PYTHON) -m pytest tests/page

.PHONY: lock
lock: ## compile requirements/*.in to pinned, hashed requirements/*.txt
	@for name in uv serve serve-cpu train serve-gpu dev bench triton labels; do \
	  uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	    $$([ $$name = triton ] && echo --no-deps) requirements/$$name.in -o requirements/$$name.txt; done

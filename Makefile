# The only task runner. `make help` lists what there is.

SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Debian's interpreter by its path: a version manager's shim costs 100 ms a start.
PYTHON ?= /usr/bin/python3
# Each of a lab's agents would compile its modules anew.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
CHITA := $(BIN)/chita

# What the lab needs; then what tests and benchmarks need on top.
LAB_PACKAGES := iproute2 iputils-ping libnftables1 nftables procps python3 python3-venv util-linux wireguard-go
TEST_PACKAGES := conntrack containernetworking-plugins etcd-server iperf3 tcpdump

# What builds the image (what is in it: src/chita/image/debian.py); then what a Kubernetes of our own needs.
IMAGE_PACKAGES := mmdebstrap
KUBERNETES_PACKAGES := $(IMAGE_PACKAGES) busybox-static containerd runc
export K8S_VERSION ?= 1.37

# Installs what is missing of $(1); says what would be needed when it may not.
define install
	missing=$$(for package in $(1); do \
	  dpkg-query -W -f='$${db:Status-Status}\n' "$$package" 2>/dev/null | grep -qx installed || echo "$$package"; \
	done)
	if [ -n "$$missing" ]; then
	  if [ "$$(id -u)" != 0 ]; then
	    echo "not root, so not installed: $$missing" >&2
	    echo "mend: sudo apt-get install --no-install-recommends $$missing" >&2
	    $(2)
	  else
	    apt-get update -qq
	    # A package must not start a service here: tests run etcd on their own. 101: not allowed (Debian's invoke-rc.d).
	    policy=/usr/sbin/policy-rc.d
	    test -e $$policy || { trap "rm -f $$policy" EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; }
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null
	    case " $$missing " in *etcd-server*) systemctl -q disable etcd.service 2>/dev/null || true;; esac
	  fi
	fi
endef

# Runs the tests marked $(1); names them when they may not run.
define as_root
	if [ "$$(id -u)" = 0 ]; then $(BIN)/pytest -q -m "$(1)"; \
	else echo "not root, so skipped:"; $(BIN)/pytest --collect-only -q -m "$(1)" | sed '/^$$/,$$d'; fi
endef

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: lab
lab: lab-packages $(VENV)/.run ## bring up the default hybrid cluster, test it, leave it running (root)
	@$(CHITA) lab up
	@$(CHITA) lab test

.PHONY: lab-down
lab-down: $(VENV)/.run ## remove every trace of the lab (root)
	@$(CHITA) lab down

.PHONY: test
test: test-unit test-kernel test-lab ## everything it needs, then the whole test suite

.PHONY: test-unit
test-unit: test-packages $(VENV)/.dev ## what needs neither root nor a kernel
	@$(BIN)/pytest -q -n 2 --dist worksteal -m "not kernel and not scenario and not kubernetes"

.PHONY: test-kernel
test-kernel: test-packages $(VENV)/.dev ## the kernel, in network namespaces (root)
	@$(call as_root,kernel and not scenario and not kubernetes)

.PHONY: test-lab
test-lab: test-packages $(VENV)/.dev ## whole clusters, on the wire (root)
	@$(call as_root,scenario)

.PHONY: test-kubernetes
test-kubernetes: test-packages $(VENV)/.dev ## a real Kubernetes over four simulated clouds; K8S_VERSION=1.37 (root, Go)
	@$(call install,$(KUBERNETES_PACKAGES),exit 2)
	@$(call as_root,kubernetes)

.PHONY: check
check: $(VENV)/.dev ## lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy src tests
	@$(BIN)/lint-imports

.PHONY: fmt
fmt: $(VENV)/.dev ## format, and mend what the linter can mend
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format .

.PHONY: golden
golden: $(VENV)/.dev ## rewrite the golden files; review reads the diff
	@CHITA_GOLDEN=rewrite $(BIN)/pytest -q tests/unit

.PHONY: manifests
manifests: $(VENV)/.run ## write deploy/ and docs/reference/rbac.md anew from the code
	@$(BIN)/python -m chita.install

.PHONY: image
image: $(VENV)/.run ## build an OCI image into dist/ without any registry; FRESH=1: with today's Debian (root)
	@$(call install,$(IMAGE_PACKAGES),exit 2)
	@$(BIN)/python -m chita.image.build chita --into dist $(if $(FRESH),--fresh)

.PHONY: bench
bench: test-packages $(VENV)/.dev ## measure every figure beside its peer; JSON into benchmarks/results (root)
	@$(BIN)/python benchmarks/run.py

.PHONY: scenarios
scenarios: test-packages $(VENV)/.run ## what the fabric survives, and how fast, in the lab; JSON and a table (root)
	@$(BIN)/python -m chita.lab.scenarios --json benchmarks/results/scenarios.json $(SCENARIOS)

.PHONY: lock
lock: $(VENV)/.dev ## resolve requirements/*.in anew
	@for name in build run dev; do
	  $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --no-header --no-annotate \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras \
	    -o requirements/$$name.txt requirements/$$name.in
	done

.PHONY: lab-packages
lab-packages:
	@$(call install,$(LAB_PACKAGES),exit 2)

.PHONY: test-packages
test-packages:
	@$(call install,$(LAB_PACKAGES) $(TEST_PACKAGES),true)

$(VENV)/.run: requirements/build.txt requirements/run.txt pyproject.toml
	@echo "making $(VENV) from the locked requirements"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/run.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/dev.txt
	touch $@

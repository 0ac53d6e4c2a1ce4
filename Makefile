# Thin front door; meson.build is the real build. `make help` lists what there is.
.DEFAULT_GOAL := help
BUILD ?= build
STAGE := $(CURDIR)/$(BUILD)/stage
PREFIX ?= /usr/local
# A shell may leave the tilde of PREFIX=~/.local to us.
prefix := $(abspath $(patsubst ~/%,$(HOME)/%,$(PREFIX)))
DESTDIR ?=
# The interpreter whose extension is built and tested. Debian's, unless told otherwise.
PYTHON ?= /usr/bin/python3
# What is built here, on this machine, whatever the caller's environment names
RUN_PY = CWSANDBOX_SERVICE_PATH= CWSANDBOX_BASE_URL= CWSANDBOX_API_KEY= PYTHONPATH=$(STAGE)/python $(PYTHON)
.PHONY: help deps build demo check check-crash check-fuzz check-vm check-harbor bench install uninstall wheel docs format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the missing Debian packages (ci/debian-packages.txt)
	@tools/install-deps ci/debian-packages.txt

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(STAGE) --libdir=lib --buildtype=release -Db_ndebug=true -Dtests=false -Dbench_programs=true \
	  -Dpython_exe=$(PYTHON) -Dpython_dir=$(STAGE)/python >$(BUILD).setup.log 2>&1 || { cat $(BUILD).setup.log; exit 1; }
	@rm -f $(BUILD).setup.log

build: deps $(BUILD)/build.ninja ## build everything into build/stage
	@ninja -C $(BUILD) --quiet
	@meson install -C $(BUILD) --quiet --no-rebuild

demo: build ## install what is missing, build, run the main job on real input
	@$(RUN_PY) examples/quickstart.py
	@$(RUN_PY) examples/cpython_suite.py

check: deps ## every test: unit, whole system, sanitizers, fuzz, interop, leftovers
	@tools/run-checks --python $(PYTHON)

check-crash: deps ## 500 kills under load, as root and as a user (4 minutes)
	@CWS_CRASH_POINTS=500 CWS_CRASH_SERVICES=10 tools/run-checks --python $(PYTHON) --only crash

check-fuzz: deps ## every fuzz target for 10 minutes (an hour with two cores)
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} tools/run-checks --python $(PYTHON) --only fuzz

check-vm: deps ## every test of the engine in machines with pure cgroup v1 and v2 (12 minutes)
	@tools/run-checks --python $(PYTHON) --only vm-all

check-harbor: build ## ten tasks by Harbor, unmodified from the registry (its environment is 200 packages; as root)
	@tools/run-checks --only contract
	@CWS_STAGE=$(STAGE) CWS_BUILD=$(BUILD) $(BUILD)/venv-test/bin/python -m pytest -q -p no:cacheprovider tests/interop/check_harbor.py

bench: build ## measure, beside the peers installed here; writes bench/out/
	@tools/install-deps ci/bench-packages.txt
	@$(RUN_PY) bench/bench.py --stage $(STAGE)

bench-kill: build ## what a reported time-out leaves of 1,024 forking processes (as who calls it; other machines: tests/vm/run --tests kills)
	@runtime=$$(mktemp -d) && XDG_RUNTIME_DIR=$$runtime CWSANDBOX_IDLE_SECONDS=1 CWSANDBOX_SERVICE_PATH= CWSANDBOX_BASE_URL= CWSANDBOX_API_KEY= \
	  $(STAGE)/libexec/cwsandbox/bench-kill; status=$$?; rm -rf "$$runtime"; exit $$status

install: deps ## install to PREFIX (default /usr/local), honours DESTDIR
	@meson setup $(BUILD)-install --prefix=$(prefix) --buildtype=release -Db_ndebug=true -Dtests=false \
	  -Dpython_exe=$(PYTHON) --reconfigure >/dev/null 2>&1 || \
	 meson setup $(BUILD)-install --prefix=$(prefix) --buildtype=release -Db_ndebug=true -Dtests=false -Dpython_exe=$(PYTHON)
	@ninja -C $(BUILD)-install --quiet
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)-install --no-rebuild
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

uninstall: ## remove what `install` puts there, for the same PREFIX, DESTDIR and PYTHON
	@meson setup $(BUILD)-install --prefix=$(prefix) --buildtype=release -Db_ndebug=true -Dtests=false \
	  -Dpython_exe=$(PYTHON) --reconfigure >/dev/null 2>&1 || \
	 meson setup $(BUILD)-install --prefix=$(prefix) --buildtype=release -Db_ndebug=true -Dtests=false -Dpython_exe=$(PYTHON) >/dev/null
	@tools/uninstall $(BUILD)-install $(DESTDIR)
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

wheel: deps ## a wheel with the extension and the service programs, in build/wheel/
	@$(PYTHON) -m venv $(BUILD)/venv-wheel
	@$(BUILD)/venv-wheel/bin/pip install --quiet build
	@$(BUILD)/venv-wheel/bin/python -m build --wheel --outdir $(BUILD)/wheel .

docs: build ## the documentation as a site: build/docs/index.html
	@[ -x $(BUILD)/venv-docs/bin/python ] || $(PYTHON) -m venv $(BUILD)/venv-docs
	@$(BUILD)/venv-docs/bin/pip install --quiet -r tools/docs/requirements.txt
	@$(BUILD)/venv-docs/bin/python tools/make-docs --stage $(STAGE) $(BUILD)/docs

format: ## clang-format the C sources in place
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## remove build directories
	@rm -rf $(BUILD) $(BUILD)-*

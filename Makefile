# Two commands do everything: `make run` and `make test`. Needed: Python 3.11+, make, git. Go, Java and Docker are extras.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
UV_VERSION = 0.13.9
UV = .venv-tools/bin/uv
HYDRANT = .venv/bin/hydrant

.PHONY: setup run test test-integration test-docker lint bench soak soak-reshard clean

setup: .venv/.locked
	.venv/bin/python -m pipelines.runtime.prism

# uv installs exactly what uv.lock says; it is itself installed where nothing else is touched.
.venv/.locked: uv.lock pyproject.toml $(UV)
	$(UV) sync --locked --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

$(UV):
	@test -n "$(PYTHON)" || { echo "hydrant needs Python 3.11 or newer: none found. Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

run: setup
	$(HYDRANT) run flights

test: setup lint
	.venv/bin/python -m pytest

# Against LocalStack: one that runs ($LOCALSTACK_ENDPOINT, localhost:4566), else one that Docker starts.
test-integration: setup
	.venv/bin/python -m pytest tests/integration/test_histories.py tests/integration/test_fanout_localstack.py \
		tests/integration/test_model_matches_localstack.py
	.venv/bin/python -m pytest tests/integration/test_calls_*.py tests/integration/test_trace_localstack.py \
		tests/integration/test_every_call.py

# Transform functions in containers of AWS's Lambda image, and the debugger in Docker: needs Docker.
test-docker: setup
	.venv/bin/python -m pytest tests/docker

lint: .venv/.locked
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy pipelines infra scenarios
	.venv/bin/lint-imports

bench: setup
	$(HYDRANT) bench convert
	$(HYDRANT) bench path
	$(HYDRANT) bench source
	$(HYDRANT) bench forest
	$(HYDRANT) bench nab

# The page that a run leaves, looked at in headless Chromium; `make screenshot` also takes the README's pictures anew.
.PHONY: test-browser screenshot
test-browser: setup
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; fi
	.venv/bin/python -m pytest tests/browser

screenshot: export HYDRANT_SCREENSHOTS = docs/images
screenshot: test-browser

soak: setup
	.venv/bin/python tests/soak/many_runs.py

soak-reshard: setup
	.venv/bin/python tests/soak/reshard.py

clean:
	rm -rf .venv .venv-tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

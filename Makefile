# Every target but `lock` first brings .venv in step with requirements.lock (bootstrap.sh);
# once it is, that takes a few hundredths of a second. ARGS is handed on: make test ARGS="-k sample"
.PHONY: run reference test test-quick test-browser lint bench lab lock environment

# Without it a kernel named python3 in the user's home would be taken for ours.
export JUPYTER_PREFER_ENV_PATH = 1

# the whole workbook on the drawn sample
run: environment
	.venv/bin/deeplab-nb run sample $(ARGS)

# the run that is committed, made anew: after every change of a notebook, which the tests notice; the photographs
# beside it stay, for they need published weights (tests/support/photographs.py)
reference: environment
	rm -rf papermill_runs/reference
	.venv/bin/deeplab-nb run sample --name reference
	.venv/bin/python -m tests.support.reference papermill_runs/reference
	git checkout -q -- papermill_runs/reference/photographs

# every test, two files of them at a time
test: environment
	.venv/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

# those without training, a second process or seconds of work, while one changes something; tests/slow.txt names the others
test-quick: environment
	.venv/bin/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

# JupyterLab in a headless Chromium, which is installed or asked for; screenshots in build/screenshots
test-browser: environment
	@sh tests/browser/install.sh
	.venv/bin/python -m pytest tests/browser $(ARGS)

# the code's rules and its form, settings in pyproject.toml; `.venv/bin/ruff format FILES` brings files into form
CODE = deeplab_nb tests notebooks/lessons data/painter
lint: environment
	.venv/bin/ruff check $(CODE)
	.venv/bin/ruff format --check $(CODE)

# what this machine takes, beside its matrix product rate: ARGS="network", "train", "input" or "evaluate"
bench: environment
	.venv/bin/python -m tests.benchmarks $(ARGS)

# the notebooks in the browser, reachable from this machine only, by the token that is printed
lab: environment
	@git config filter.notebook.clean '.venv/bin/python scripts/strip_notebook.py' 2>/dev/null || true
	.venv/bin/python -m jupyterlab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

# resolves requirements.in anew, with a uv that is thrown away afterwards
lock:
	sh bootstrap.sh --lock

environment:
	@sh bootstrap.sh

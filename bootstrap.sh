#!/bin/sh
# Brings .venv in step with requirements.lock; does nothing and says nothing where it is already.
#   bootstrap.sh          the environment
#   bootstrap.sh --ascend the environment inside Ascend's container, on top of the TensorFlow there; it stays so.
#                         ADAPTER=/path/to/npu_bridge-....whl puts the adapter of CANN 8 or 9 into it
#   bootstrap.sh --find   prints the Python 3.7 on this machine that it would use
#   bootstrap.sh --lock   resolves requirements.in into requirements.lock, keeping pins that still fit
# Exit codes: 1 a step failed, 2 unknown argument or no such ADAPTER, 3 no Python 3.7.
set -eu
CDPATH='' cd -P -- "$(dirname -- "$0")"

say() { printf 'environment: %s\n' "$*" >&2; }
stop() { say "$1"; exit "${2:-1}"; }

# --- finding Python

on_path() (
    IFS=:
    for folder in $PATH; do printf '%s\n' "$folder/$1"; done
)

# pyenv keeps its Pythons in `versions`, beside the `bin` and `shims` that it puts on PATH.
# Its shim python3.7 fails unless 3.7 is activated, so those folders are looked into themselves.
candidates() (
    printf '%s\n' "${PYTHON37:-}" "${CONDA_PREFIX:+$CONDA_PREFIX/bin/python}"
    on_path python3.7
    for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do printf '%s\n' "$root"/versions/3.7*/bin/python; done
    IFS=:
    for folder in $PATH; do printf '%s\n' "${folder%/*}"/versions/3.7*/bin/python; done
    printf '%s\n' /opt/python/cp37-cp37m/bin/python "$PWD"/.python/*/bin/python3.7
)

# The first interpreter of standard input that runs, can make environments, and for which $1 holds.
# .venv itself, which may be activated, is passed over: it is about to be removed.
first_that() {
    while read -r candidate; do
        case $candidate in '' | "$PWD"/.venv/*) continue ;; esac
        if "$candidate" -c "import sys, venv, ensurepip, importlib.util; sys.exit(not ($1))" </dev/null >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            break
        fi
    done
}

find_python() { candidates | first_that "sys.version_info[:2] == (3, 7)${ascend:+ and importlib.util.find_spec('tensorflow')}"; }

no_python() {
    [ -z "$ascend" ] || stop "no Python 3.7 with a TensorFlow of its own found: run this inside Ascend's container,
  or name its Python        PYTHON37=/path/to/python3.7 sh bootstrap.sh --ascend" 3
    stop "no Python 3.7 found, which TensorFlow 1.15 needs. Three ways out:
  name one                PYTHON37=/path/to/python3.7 make test
  conda                   conda env create -f environment.yml && conda activate deeplab-nb
  pyenv                   pyenv install 3.7" 3
}

# --- uv, in a folder that is thrown away; 0.6.17 is the last that can download Python 3.7

with_uv() (
    python3=$(on_path python3 | first_that 'sys.version_info >= (3, 8)')
    [ -n "$python3" ] || return 1
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "$python3" -m venv "$folder" || return 1
    "$folder/bin/python" -m pip install -q --disable-pip-version-check uv==0.6.17 >&2 || return 1
    "$folder/bin/uv" --quiet --native-tls "$@" >&2  # the machine's own certificates, as pip uses them
)

download_python() {
    say "no Python 3.7 on this machine, trying to download one into .python"
    with_uv python install --install-dir "$PWD/.python" 3.7 || rm -rf .python
}

lock() {
    python=$(find_python)
    [ -n "$python" ] || no_python
    with_uv pip compile --python "$python" --generate-hashes --no-header requirements.in -o requirements.lock ||
        stop "requirements.lock could not be resolved: see the lines above; uv itself needs a python3 of 3.8 or later"
}

# --- Ascend

# What the vendor's container brings with its TensorFlow, which .venv sees and does not replace: of the lock, numpy
# and all that only TensorFlow asks for. The other packages are put into .venv, so that the container stays as it was.
vendors='absl-py|astor|gast|google-pasta|grpcio|h5py|keras-applications|keras-preprocessing|markdown|numpy|opt-einsum|protobuf'
vendors="$vendors|tensorboard|tensorflow|tensorflow-estimator|termcolor|werkzeug|wrapt"
# ONNX Runtime and its converter are no use on a card, and the converter wants a newer protobuf than the container's.
unwanted='flatbuffers|onnx|onnxruntime|tf2onnx'

# not empty where .venv was built so, and then it is built so again
ascend=$(awk '/^include-system-site-packages = true/ { print "yes" }' .venv/pyvenv.cfg 2>/dev/null || :)

packages() {
    if [ -n "$ascend" ]; then
        awk -v others="^($vendors|$unwanted)==" '/^[a-z]/ { keep = $0 !~ others } keep' requirements.lock
    else
        cat requirements.lock
    fi
}

# npu_bridge is the wheel that ADAPTER names, put into .venv; or what PYTHONPATH or Python's packages lead to;
# or it lies where the run package tfplugin or `pip install -t` leaves it, and .venv then looks there too.
adapter() {
    [ -z "$ADAPTER" ] || install "$ADAPTER" || stop "$ADAPTER could not be installed: see pip's lines above"
    seen="import importlib.util, sys; sys.exit(not importlib.util.find_spec('npu_bridge'))"
    .venv/bin/python -c "$seen" && return
    for tfplugin in /usr/local/Ascend/tfplugin "${HOME:-}/Ascend/tfplugin"; do
        for folder in "$tfplugin/latest/python/site-packages" "$tfplugin/python/site-packages" "$tfplugin"; do
            [ -d "$folder/npu_bridge" ] || continue
            printf '%s\n' "$folder" > .venv/lib/python3.7/site-packages/npu_bridge.pth
            return
        done
    done
    say "npu_bridge is not importable, which a card needs: source tfplugin's set_env.sh, or give its wheel," \
        "ADAPTER=/path/to/npu_bridge-1.15.0-py3-none-manylinux2014_$(uname -m).whl sh bootstrap.sh --ascend"
}

# absolute, as it was meant where the command was typed; a missing file is noticed before anything is built
case ${ADAPTER:=} in '' | /*) ;; *) ADAPTER=$OLDPWD/$ADAPTER ;; esac
[ -z "$ADAPTER" ] || [ -f "$ADAPTER" ] ||
    stop "ADAPTER names $ADAPTER, which does not exist: give the path of npu_bridge's wheel" 2

# --- building .venv

# The stamp holds the checkout's path as well, because a moved environment no longer runs.
stamp() { pwd && cat requirements.lock; }

in_step() { stamp | cmp -s - .venv/stamp && .venv/bin/python -c '' 2>/dev/null; }

pip() { .venv/bin/python -m pip -q --disable-pip-version-check "$@"; }

# --no-deps: the lock names every package, and pip would ask for hashes of extras that it cannot hold.
# --no-build-isolation: what has no wheel is built with the lock's setuptools, not with the newest.
install() { pip install --no-deps --no-build-isolation "$@"; }

build() {
    started=$(date +%s)
    python=$(find_python)
    [ -n "$python$ascend" ] || { download_python && python=$(find_python); }
    [ -n "$python" ] || no_python
    say "building .venv from requirements.lock with $python (one to three minutes, 0.9 GB)"
    rm -rf .venv
    "$python" -m venv ${ascend:+--system-site-packages} .venv || stop "$python could not make .venv: check that the disk has room"
    awk '/^[a-z]/ { tool = /^(pip|setuptools|wheel)==/ } tool' requirements.lock > .venv/tools.lock
    packages > .venv/packages.lock
    for file in .venv/tools.lock .venv/packages.lock; do
        install --require-hashes -r "$file" || stop "the packages of $file could not be installed: see pip's lines above"
    done
    install -e . || stop "deeplab_nb could not be installed into .venv: see pip's lines above"
    [ -n "$ascend" ] || pip check || stop "the installed packages contradict each other: see pip's lines above"
    [ -z "$ascend" ] || adapter
    stamp > .venv/stamp.part && mv .venv/stamp.part .venv/stamp
    say "ready after $(($(date +%s) - started)) s"
}

case ${1:-} in
    '') in_step || build ;;
    --ascend)
        if [ -z "$ascend" ] || ! in_step; then
            ascend=yes && build
        elif [ -n "$ADAPTER" ]; then
            adapter
        fi ;;
    --find)
        python=$(find_python)
        [ -n "$python" ] || no_python
        printf '%s\n' "$python" ;;
    --lock) lock ;;
    *) stop "unknown argument $1: it can be --ascend, --find or --lock" 2 ;;
esac

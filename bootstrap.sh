#!/bin/sh
# Brings an environment in step with its lock; changes nothing where it is already.
#   reference   .venv           requirements.lock           Python 3.7, TensorFlow 1.15.5
#   current     .venv-current   requirements-current.lock   Python 3.10 to 3.13, TensorFlow 2.21
# ENVIRONMENT=reference or current says which, each time: nothing remembers it. Without it a Python 3.7 on this
# machine means the reference one, and everything else the current one; a line says which.
#   bootstrap.sh          the environment
#   bootstrap.sh --ascend the environment inside Ascend's container, on top of the TensorFlow there; it stays so.
#                         ADAPTER=/path/to/npu_bridge-....whl puts the adapter of CANN 8 or 9 into it
#   bootstrap.sh --folder prints the environment's folder, built or not
#   bootstrap.sh --find   prints the Python on this machine that it would use
#   bootstrap.sh --lock   resolves requirements.in and requirements-current.in into their locks, or the one that
#                         ENVIRONMENT names, keeping pins that still fit
# Exit codes: 1 a step failed, 2 unknown argument, ENVIRONMENT or ADAPTER, 3 no Python that serves.
set -eu
CDPATH='' cd -P -- "$(dirname -- "$0")"

say() { printf 'environment: %s\n' "$*" >&2; }
stop() { say "$1"; exit "${2:-1}"; }

# not empty where .venv was built in Ascend's container, and then it is built so again
ascend=$(awk '/^include-system-site-packages = true/ { print "yes" }' .venv/pyvenv.cfg 2>/dev/null || :)

# use reference|current: sets what differs between the two
use() {
    environment=$1
    case $1 in
        reference)
            venv=.venv lock=requirements.lock kind='Python 3.7' minors=7 newest=3.7 size=1.1 variable=PYTHON37
            named=${PYTHON37:-} fits='sys.version_info[:2] == (3, 7)' ;;
        current)  # 3.12 first: it is tried the most
            venv=.venv-current lock=requirements-current.lock kind='Python 3.10 to 3.13' minors='12 13 11 10'
            newest=3.12 size=2.8 variable=PYTHON3
            named=${PYTHON3:-} fits='(3, 10) <= sys.version_info[:2] <= (3, 13)' ;;
        *) stop "ENVIRONMENT is $1: it can be reference or current, and without it one is chosen" 2 ;;
    esac
}

# TensorFlow 1.15.5 has wheels for x86-64 only; Ascend's containers bring their own.
served() { case $environment$ascend:$(uname -m) in current:* | *yes:* | *:x86_64 | *:amd64) ;; *) return 1 ;; esac; }

choose() {
    if [ -n "${ENVIRONMENT:-}" ]; then
        use "$ENVIRONMENT"
    else
        use reference
        [ -z "$ascend" ] || return 0
        served && { in_step || [ -n "$(find_python)" ]; } || use current
    fi
    [ $environment = reference ] || ascend=
}

explain() {
    [ -z "${ENVIRONMENT:-}$ascend" ] || return 0
    case $environment in
        reference) say "reference (Python 3.7, TensorFlow 1.15.5), as a Python 3.7 is here; ENVIRONMENT=current takes TensorFlow 2.21" ;;
        current) say "current ($kind, TensorFlow 2.21), as no Python 3.7 with TensorFlow 1.15.5 is here; ENVIRONMENT=reference asks for one" ;;
    esac
}

# --- finding Python

on_path() (
    IFS=:
    for folder in $PATH; do printf '%s\n' "$folder/$1"; done
)

# pyenv keeps its Pythons in `versions`, beside the `bin` and `shims` that it puts on PATH.
# Its shim python3.7 fails unless 3.7 is activated, so those folders are looked into themselves.
candidates() (
    printf '%s\n' "$named" "${CONDA_PREFIX:+$CONDA_PREFIX/bin/python}"
    for minor in $minors; do
        on_path "python3.$minor"
        for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do printf '%s\n' "$root"/versions/3."$minor"*/bin/python; done
        (IFS=:; for folder in $PATH; do printf '%s\n' "${folder%/*}"/versions/3."$minor"*/bin/python; done)
        printf '%s\n' /opt/python/cp3"$minor"-cp3"$minor"*/bin/python "$PWD"/.python/*/bin/python3."$minor"
    done
    [ $environment = reference ] || on_path python3
)

# The first interpreter of standard input that runs, can make environments, and for which $1 holds.
# The workbook's own, which may be activated, are passed over: they are about to be removed.
first_that() {
    while read -r candidate; do
        case $candidate in '' | "$PWD"/.venv/* | "$PWD"/.venv-current/*) continue ;; esac
        if "$candidate" -c "import sys, venv, ensurepip, importlib.util; sys.exit(not ($1))" </dev/null >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            break
        fi
    done
}

find_python() { candidates | first_that "$fits${ascend:+ and importlib.util.find_spec('tensorflow')}"; }

# Why none of the candidates serves: one lacks venv or ensurepip, one does not run, or there is none.
cause() {
    candidates | while read -r candidate; do
        case $candidate in "$PWD"/.venv/* | "$PWD"/.venv-current/*) continue ;; esac
        [ -f "$candidate" ] && [ -x "$candidate" ] || continue
        if ! "$candidate" -c '' </dev/null >/dev/null 2>&1; then
            echo "2 $candidate is there but does not run"
        elif "$candidate" -c "import sys; sys.exit(not ($fits))" </dev/null >/dev/null 2>&1; then
            echo "1 $candidate lacks venv or ensurepip, which Debian and Ubuntu keep apart (apt install python3-venv)"
        fi
    done | sort | awk 'NR == 1 { sub(/^. /, ""); print; exit }'
}

no_python() {
    [ -z "$ascend" ] || stop "no Python 3.7 with a TensorFlow of its own found: run this inside Ascend's container,
  or name its Python        PYTHON37=/path/to/python3.7 sh bootstrap.sh --ascend" 3
    reason=$(cause)
    conda='conda env create -f environment.yml && conda activate deeplab-nb'
    [ $environment = reference ] || conda='conda create -n deeplab-nb python=3.12 && conda activate deeplab-nb'
    stop "${reason:-no $kind found}${unfetched:-}. The ways out:
  name one                $variable=/path/to/python$newest make test
  conda                   $conda
  pyenv                   pyenv install $newest
  the other environment   ENVIRONMENT=$([ $environment = current ] && echo reference || echo current) make test" 3
}

# --- uv, in a folder that is thrown away; 0.6.17 is the last that can download Python 3.7

some_python() { on_path python3 | first_that 'sys.version_info >= (3, 8)'; }

with_uv() (
    python3=$(some_python)
    [ -n "$python3" ] || return 1
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "$python3" -m venv "$folder" || return 1
    "$folder/bin/python" -m pip install -q --disable-pip-version-check uv==0.6.17 >&2 || return 1
    "$folder/bin/uv" --quiet --native-tls "$@" >&2  # the machine's own certificates, as pip uses them
)

# What uv and pip say is kept for the sentence: without a network it is many lines.
download_python() {
    unfetched=', and none could be fetched, which takes a python3 of 3.8 or later with venv'
    [ -n "$(some_python)" ] || return 1
    say "no $kind that serves on this machine, trying to download one into .python"
    said=$(with_uv python install --install-dir "$PWD/.python" $newest 2>&1) || {
        ls .python/*/bin/python3 >/dev/null 2>&1 || rm -rf .python
        said=$(printf '%s\n' "$said" | awk 'NF { last = $0 } END { print last }')
        unfetched=", and none could be fetched (${said#ERROR: })"
        return 1
    }
}

compile() { with_uv pip compile "$@" --generate-hashes --no-header || stop "$lock could not be resolved: see the lines above;
  uv itself needs a python3 of 3.8 or later"; }

lock() {
    if [ "${ENVIRONMENT:-reference}" = reference ]; then
        use reference
        python=$(find_python)
        [ -n "$python" ] || no_python
        compile --python "$python" requirements.in -o $lock
    fi
    if [ "${ENVIRONMENT:-current}" = current ]; then
        use current
        compile --universal --python-version 3.10 requirements-current.in -o $lock
    fi
}

# --- Ascend

# What the vendor's container brings with its TensorFlow, which .venv sees and does not replace: of the lock, numpy
# and all that only TensorFlow asks for. The other packages are put into .venv, so that the container stays as it was.
vendors='absl-py|astor|gast|google-pasta|grpcio|h5py|keras-applications|keras-preprocessing|markdown|numpy|opt-einsum|protobuf'
vendors="$vendors|tensorboard|tensorflow|tensorflow-estimator|termcolor|werkzeug|wrapt"
# ONNX Runtime and its converter are no use on a card, and the converter wants a newer protobuf than the container's.
unwanted='flatbuffers|onnx|onnxruntime|tf2onnx'

packages() {
    if [ -n "$ascend" ]; then
        awk -v others="^($vendors|$unwanted)==" '/^[a-z]/ { keep = $0 !~ others } keep' requirements.lock
    else
        cat $lock
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

# --- building

# The stamp holds the checkout's path as well, because a moved environment no longer runs.
stamp() { pwd && cat $lock; }

in_step() { stamp | cmp -s - $venv/stamp && $venv/bin/python -c '' 2>/dev/null; }

# without its build tools' warnings, which nobody here can act on
pip() { PYTHONWARNINGS=ignore $venv/bin/python -m pip -q --disable-pip-version-check "$@"; }

# --no-deps: the lock names every package, and pip would ask for hashes of extras that it cannot hold.
# --no-build-isolation: what has no wheel is built with the lock's setuptools, not with the newest.
install() { pip install --no-deps --no-build-isolation "$@"; }

# Every kernel of ipykernel 7.4 warns that what passes between it and the notebook is not encrypted. That goes over
# the loopback device, which only root listens to, and a reader can do nothing about it.
quiet_kernel() {
    mkdir -p $venv/etc/ipython
    printf '%s\n' 'import logging' 'logging.getLogger("IPKernelApp").addFilter(lambda entry: "without encryption" not in str(entry.msg))' \
        > $venv/etc/ipython/ipython_kernel_config.py
}

build() {
    started=$(date +%s)
    served || stop "TensorFlow 1.15.5 has no wheel for $(uname -m), outside Ascend's containers: take ENVIRONMENT=current" 3
    python=$(find_python)
    [ -n "$python$ascend" ] || { download_python && python=$(find_python); }
    [ -n "$python" ] || no_python
    say "building $venv from $lock with $python (one to five minutes, $size GB)"
    rm -rf $venv
    "$python" -m venv ${ascend:+--system-site-packages} $venv || stop "$python could not make $venv: check that the disk has room"
    awk '/^[a-z]/ { tool = /^(pip|setuptools|wheel)==/ } tool' $lock > $venv/tools.lock
    packages > $venv/packages.lock
    for file in $venv/tools.lock $venv/packages.lock; do
        install --require-hashes -r "$file" || stop "the packages of $file could not be installed: see pip's lines above"
    done
    install -e . || stop "deeplab_nb could not be installed into $venv: see pip's lines above"
    [ -n "$ascend" ] || pip check || stop "the installed packages contradict each other: see pip's lines above"
    [ -z "$ascend" ] || adapter
    [ $environment = reference ] || quiet_kernel
    stamp > $venv/stamp.part && mv $venv/stamp.part $venv/stamp
    say "ready after $(($(date +%s) - started)) s"
}

case ${1:-} in
    '')
        choose
        explain
        in_step || build ;;
    --ascend)
        use reference
        if [ -z "$ascend" ] || ! in_step; then
            ascend=yes && build
        elif [ -n "$ADAPTER" ]; then
            adapter
        fi ;;
    --folder)
        choose
        printf '%s\n' $venv ;;
    --find)
        choose
        python=$(find_python)
        [ -n "$python" ] || no_python
        printf '%s\n' "$python" ;;
    --lock) lock ;;
    *) stop "unknown argument $1: it can be --ascend, --folder, --find or --lock" 2 ;;
esac

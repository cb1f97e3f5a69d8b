#!/usr/bin/env bash
# Install requirements/NAME.txt with uv: requirements/install.sh train|dev into .venv, bench into .venv-bench,
# labels into .venv-labels
# Into a Python 3.11: the host's, or else one that uv brings, as where the host has 3.12 or 3.13. uv is taken from the
# PATH or else installed into .uv, pinned and hashed as the rest.
set -euo pipefail
name=${1:?usage: requirements/install.sh train|dev|bench|labels}
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# A name on the PATH proves nothing: pyenv's stands for versions that are not chosen.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }
python=
for candidate in python3.11 python3; do
  [ "$(version_of "$candidate")" != 3.11 ] || { python=$(command -v "$candidate"); break; }
done

# uv keeps what it fetched in the user's home; where that cannot be written, in .uv.
if [ -z "${UV_CACHE_DIR:-}${XDG_CACHE_HOME:-}" ] && ! { mkdir -p "${HOME:-/nonexistent}/.cache" && [ -w "$HOME/.cache" ]; } 2>/dev/null; then
  export UV_CACHE_DIR=$PWD/.uv/cache
fi

if ! uv=$(command -v uv); then
  uv=.uv/bin/uv
  host=${python:-$(command -v python3 || true)}
  if [ -z "$(version_of "$host")" ]; then
    say "bento-vision needs Python 3.11, and found neither a Python nor uv: install one (Debian 12: apt-get install python3)"
    exit 2
  fi
  if [ ! -x "$uv" ]; then
    if ! "$host" -c 'import ensurepip' 2>/dev/null; then
      # Debian ships venv's bootstrap as a package of its own.
      if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "$host cannot make virtual environments: install python3-venv (Debian: sudo apt-get install python3-venv)"
        exit 2
      fi
      say "installing the Debian package python3-venv"
      { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv; } >.apt.log 2>&1 ||
        { cat .apt.log >&2; exit 2; }
      rm .apt.log
    fi
    say "installing uv into .uv"
    "$host" -m venv .uv
    .uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
  fi
fi

make_environment() {
  [ ! -x "$1/bin/python" ] || return 0
  [ -n "$python" ] || say "Python 3.11 is not on this machine: uv brings it"
  "$uv" venv --quiet --relocatable --python "${python:-3.11}" "$1" && return
  say "bento-vision needs Python 3.11, and found $(command -v python3 || echo none) ($(version_of python3)): install 3.11 beside it," \
    "or let uv fetch one, which needs the network (see uv's message above)"
  exit 2
}

if [ "$name" = bench ]; then
  make_environment .venv-bench
  say "installing requirements/bench.txt and requirements/triton.txt into .venv-bench (about 1 GB)"
  "$uv" pip install --python .venv-bench/bin/python --require-hashes -r requirements/bench.txt
  # Triton and the NumPy it was built for lie apart: nothing but its own process may find them.
  "$uv" pip install --python .venv-bench/bin/python --require-hashes --no-deps --target .venv-bench/triton \
    -r requirements/triton.txt
  touch .venv-bench/bench.stamp
  exit
fi

if [ "$name" = labels ]; then
  make_environment .venv-labels
  say "installing requirements/labels.txt, Label Studio, into .venv-labels (about 1 GB)"
  "$uv" pip install --python .venv-labels/bin/python --compile-bytecode --require-hashes -r requirements/labels.txt
  touch .venv-labels/labels.stamp
  exit
fi

make_environment .venv
say "installing requirements/$name.txt into .venv (PyTorch's CUDA build is about 3 GB to download the first time)"
# Compiled now: where PYTHONDONTWRITEBYTECODE is set every process would compile PyTorch and MLflow anew, for half a minute.
"$uv" pip install --python .venv/bin/python --compile-bytecode --require-hashes -r "requirements/$name.txt"
touch ".venv/$name.stamp"
[ "$name" = train ] || touch .venv/train.stamp # dev holds all of train

#!/usr/bin/env bash
# Install requirements/NAME.txt with uv: requirements/install.sh train|dev into .venv, bench into .venv-bench
# Needs Python 3.11 alone. uv is taken from the PATH or else installed into .uv, pinned and hashed as the rest.
set -euo pipefail
name=${1:?usage: requirements/install.sh train|dev|bench}
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

python=$(command -v python3.11 || command -v python3 || true)
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  say "bento-vision needs Python 3.11, found ${python:-none}: install it (Debian 12: apt-get install python3)"
  exit 2
fi

if ! uv=$(command -v uv); then
  uv=.uv/bin/uv
  if [ ! -x "$uv" ]; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
      # Debian ships venv's bootstrap as a package of its own.
      if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "$python cannot make virtual environments: install python3-venv (Debian: sudo apt-get install python3-venv)"
        exit 2
      fi
      say "installing the Debian package python3-venv"
      { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv; } >.apt.log 2>&1 ||
        { cat .apt.log >&2; exit 2; }
      rm .apt.log
    fi
    say "installing uv into .uv"
    "$python" -m venv .uv
    .uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
  fi
fi

if [ "$name" = bench ]; then
  [ -x .venv-bench/bin/python ] || "$uv" venv --quiet --python "$python" .venv-bench
  say "installing requirements/bench.txt and requirements/triton.txt into .venv-bench (about 1 GB)"
  "$uv" pip install --python .venv-bench/bin/python --require-hashes -r requirements/bench.txt
  # Triton and the NumPy it was built for lie apart: nothing but its own process may find them.
  "$uv" pip install --python .venv-bench/bin/python --require-hashes --no-deps --target .venv-bench/triton \
    -r requirements/triton.txt
  touch .venv-bench/bench.stamp
  exit
fi

[ -x .venv/bin/python ] || "$uv" venv --quiet --python "$python" .venv
say "installing requirements/$name.txt into .venv (PyTorch's CUDA build is about 3 GB to download the first time)"
# Compiled now: where PYTHONDONTWRITEBYTECODE is set every process would compile PyTorch and MLflow anew, for half a minute.
"$uv" pip install --python .venv/bin/python --compile-bytecode --require-hashes -r "requirements/$name.txt"
touch ".venv/$name.stamp"
[ "$name" = train ] || touch .venv/train.stamp # dev holds all of train

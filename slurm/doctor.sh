#!/usr/bin/env bash
# Can these nodes train together? slurm/doctor.sh --nodes=2 --gres=gpu:8 (whatever salloc takes), or inside a job.
set -euo pipefail
if [ -n "${SLURM_JOB_ID:-}" ]; then exec .venv/bin/python -m slurm.doctor "$@"; fi
exec salloc --quiet --job-name=vision-doctor "$@" .venv/bin/python -m slurm.doctor

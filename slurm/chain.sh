#!/usr/bin/env bash
# Train, evaluate, export, register and build the Bento, each as a job that starts if the one before ended well:
#   slurm/chain.sh [--task=TASK] [--from=LINK] [--params=FILE] [what sbatch takes for the training job]
# A link that fails ends the chain: its log says where and why, and Slurm cancels the jobs that waited for it.
set -euo pipefail
links=(train evaluate export register bento)
params=() task=()
while :; do case "${1:-}" in
  --from=*)
    first=${1#--from=} && shift
    while [ "${#links[@]}" != 0 ] && [ "${links[0]}" != "$first" ]; do links=("${links[@]:1}"); done
    [ "${#links[@]}" != 0 ] || { echo "chain: no link '$first'; there are train, evaluate, export, register, bento" >&2; exit 2; } ;;
  --task=*)
    case "${1#--task=}" in classification|segmentation|detection) ;;
      *) echo "chain: no task '${1#--task=}'; there are classification, segmentation, detection" >&2; exit 2 ;;
    esac
    task=("$1") && shift ;;
  --params=*) params=("$1") && shift ;;
  *) break ;;
esac; done
after=()
chain=() # as whose job a link takes artifacts/ (slurm/claim.py)
for link in "${links[@]}"; do
  case $link in
    train) job=$(sbatch --parsable "$@" slurm/train.sbatch --only-train "${task[@]}" "${params[@]}") ;;
    *) options=("${after[@]}" --job-name="vision-$link")
      job=$(sbatch --parsable "${options[@]}" slurm/link.sbatch "$link" "${task[@]}" "${params[@]}" "${chain[@]}") ;;
  esac
  if [ "${#chain[@]}" = 0 ]; then
    chain=("--chain=$job") members=artifacts/slurm/chain-$job
    mkdir -p artifacts/slurm && rm -f "$members" # of an older cluster: clusters begin to count anew
  fi
  echo "$job" >> "$members"
  after=("--dependency=afterok:$job" --kill-on-invalid-dep=yes)
  echo "$link: job $job, logs/vision-$link-$job.out"
done

#!/usr/bin/env bash
# Search with an array of workers, then train with the best values in full:
#   slurm/search.sh [--task=TASK] WORKERS [what sbatch takes for a worker [-- what it takes for training with the best]]
set -euo pipefail
task=() out=artifacts/search
case "${1:-}" in
  --task=classification) shift ;;
  --task=segmentation|--task=detection) task=("$1") out=artifacts/${1#--task=}/search && shift ;;
  --task=*) echo "search: no task '${1#--task=}'; there are classification, segmentation, detection" >&2; exit 2 ;;
esac
workers=${1:?usage: slurm/search.sh [--task=TASK] WORKERS [what sbatch takes for a worker [-- what it takes for the training]]}
shift
for_worker=()
while [ $# != 0 ] && [ "$1" != -- ]; do for_worker+=("$1"); shift; done
[ $# = 0 ] || shift
search=$(sbatch --parsable --array="0-$((workers - 1))" "${for_worker[@]}" slurm/search.sbatch "${task[@]}")
echo "search: job $search, logs/vision-search-${search}_*.out; .venv/bin/python -m training.search${task[*]:+ ${task[*]}} --table --every 10"
# Not afterok: a worker that was lost, or gave up, takes nothing from what the others found.
best=$(sbatch --parsable --dependency="afterany:$search" "$@" slurm/train.sbatch "${task[@]}" --best-of "$out")
echo "train: job $best, logs/vision-train-$best.out"

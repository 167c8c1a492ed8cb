#!/usr/bin/env bash
# Fills every row that needs a GPU, one log a row. Usage: tests/benchmarks/on_a_gpu.sh RESULTS VJEPA2_CLONE
# Takes 4 GB of disk for the synthetic store and an hour or so; peers/README.md says what the peers need.
set -uo pipefail
results=$(realpath -m "$1") vjepa2=$(realpath "$2") failed=0
cd "$(dirname "$0")/../.."
mkdir -p "$results"
python=${PYTHON:-.venv/bin/python}

row() { # name, command
  local name=$1
  shift
  echo "== $name: $*"
  "$@" >"$results/$name.txt" 2>&1 || { echo "   failed, see $results/$name.txt"; failed=1; }
}

row tests "$python" -m pytest -m gpu
row bench "$python" -m pipeline.cli bench "$results/synthetic.zarr" --synthetic --synthetic-gib 4 --device cuda --json
row stream "$python" tests/benchmarks/stream.py --store "$results/synthetic.zarr"
row predictor_step "$python" tests/benchmarks/predictor_step.py --size vjepa2-ac --clips 8 --json "$results/predictor_step.json"
row predictor_profile "$python" tests/benchmarks/predictor_step.py --size vjepa2-ac --clips 8 --profile
row overlap "$python" tests/benchmarks/featurize_overlap.py --device cuda --encoder vjepa2-vitg --episodes 100 --views 16
row online "$python" tests/benchmarks/online.py --encoder vjepa2-vitg --preset vjepa2-ac --clip-frames 16 --batch-clips 32 --device cuda --size 1280x720
row public_loop "$python" tests/benchmarks/peers/vjepa_droid.py --vjepa2 "$vjepa2" --device cuda --size full --batch 4 --rounds 12
row public_planner "$python" tests/benchmarks/peers/planner.py --vjepa2 "$vjepa2" --device cuda --size full --warm-up 1 --samples 800
row public_encoder "$python" tests/benchmarks/peers/encoders.py --device cuda --model vitg --frames 64 --rounds 20
exit "$failed"

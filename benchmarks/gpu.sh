#!/bin/sh
# All that a CUDA device is wanted for, in one command of at most nine minutes: tests on it, then gpu_kit.py.
# Run from the repository's root: sh benchmarks/gpu.sh [FOLDER for gpu.json and gpu.md] [PHOTO with faces]
PYTHON=${PYTHON:-python3}
FOLDER=${1:-gpu_results}
if ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "torch finds no CUDA device here, so nothing was measured."
    exit 1
fi
mkdir -p "$FOLDER" || exit 1
timeout 150 "$PYTHON" -m pytest -q tests/inference tests/model tests/test_torch_state.py >"$FOLDER/tests.txt" 2>&1
tail -n 1 "$FOLDER/tests.txt"
timeout 385 "$PYTHON" benchmarks/gpu_kit.py --seconds 360 --out "$FOLDER" ${2:+--photo "$2"}

#!/bin/sh
# Benchmark a machine with an NVIDIA GPU and PyTorch, but without a network, in under eight minutes.
#
#     sh scripts/gpu/bench.sh [output folder]        default: results/studies/<machine>/<date>-gpu
#
# Run it in the repository's root. It needs the bundle that `python -m scripts.gpu.bundle` writes:
# build/gpu-bundle.tar.xz, or BUNDLE=<file>. PYTHON is the interpreter that has PyTorch. DEVICE is cuda by default.
# It writes offline.csv and agreement.csv, and a campaign of the harness with runs.csv, manifest and plots.
set -eu
BUNDLE=${BUNDLE:-build/gpu-bundle.tar.xz}
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
TEXTS=${TEXTS:-16384}
MINUTES=${MINUTES:-8}

[ -f bench/__main__.py ] || { echo "run this in the repository's root" >&2; exit 2; }
[ -f "$BUNDLE" ] || { echo "$BUNDLE is missing: make it with python -m scripts.gpu.bundle" >&2; exit 2; }
"$PYTHON" -c 'import torch' || { echo "$PYTHON has no torch: set PYTHON to an interpreter that has it" >&2; exit 2; }
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# The bundle is extracted to a temporary folder; nothing is installed into the interpreter.
tar -xJf "$BUNDLE" -C "$WORK"
export PYTHONPATH="$WORK/site:$PWD" MODELS_DIR="$WORK/models"

MACHINE=$("$PYTHON" -c 'import sys; from bench.machine import facts; print(facts.folder(sys.argv[1:]))' "$DEVICE")
OUT=${1:-results/studies/$MACHINE/$(date -u +%Y-%m-%d)-gpu}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)

# The harness starts the gateway from .venvs/python: make that the same interpreter with the bundle's packages.
if [ ! -e .venvs/python ]; then
    mkdir -p .venvs/python/bin
    trap 'rm -rf "$WORK" .venvs/python' EXIT
    printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$@"\n' "$PYTHONPATH" "$(command -v "$PYTHON")" > .venvs/python/bin/python
    chmod +x .venvs/python/bin/python
fi

nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv || echo "no nvidia-smi here"
"$PYTHON" -m bench reference
timeout "$((MINUTES * 30))" "$PYTHON" -m scripts.gpu.offline --device "$DEVICE" --texts "$TEXTS" --out "$OUT" \
    || echo "the measurement of bulk embedding did not finish; $OUT has its results so far" >&2
DEVICES=cpu
[ "$DEVICE" = cpu ] || DEVICES="cpu,$DEVICE"
timeout "$((MINUTES * 30))" "$PYTHON" -m bench run --profile quick --gateways python,python-fp16 --device "$DEVICES" \
    --scenarios closed,server,offline --concurrency 1,64,256 --results "$OUT" --campaign gpu \
    || echo "the harness did not finish; $OUT has its results so far" >&2
find "$OUT" -name '*.csv' -o -name manifest.json -o -name '*.png'

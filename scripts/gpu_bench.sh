#!/bin/sh
# Measure on a machine with an NVIDIA card, PyTorch and no network, in under eight minutes.
#
#     sh scripts/gpu_bench.sh [folder for what is measured]        default: results/gpu
#
# From the repository's root, with the bundle that `python -m scripts.gpu_bundle` wrote at build/gpu-bundle.tar.xz
# (BUNDLE=<file> for another place). PYTHON names the interpreter that has PyTorch, DEVICE another device than cuda.
# Left behind: offline.csv and agreement.csv, and a campaign of the harness with runs.csv, manifest and plots.
set -eu
OUT=${1:-results/gpu}
BUNDLE=${BUNDLE:-build/gpu-bundle.tar.xz}
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
TEXTS=${TEXTS:-16384}
MINUTES=${MINUTES:-8}

[ -f bench/__main__.py ] || { echo "run this in the repository's root" >&2; exit 2; }
[ -f "$BUNDLE" ] || { echo "$BUNDLE is not there: make it with python -m scripts.gpu_bundle" >&2; exit 2; }
"$PYTHON" -c 'import torch' || { echo "$PYTHON has no torch: say with PYTHON= which one has" >&2; exit 2; }
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# What the bundle brings lies in a folder of its own; the interpreter that is there is left as it is.
tar -xJf "$BUNDLE" -C "$WORK"
export PYTHONPATH="$WORK/site:$PWD" MODELS_DIR="$WORK/models"

# What the harness takes for the environment of the gateway: the same interpreter, with the same folder.
if [ ! -e .venvs/python ]; then
    mkdir -p .venvs/python/bin
    trap 'rm -rf "$WORK" .venvs/python' EXIT
    printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$@"\n' "$PYTHONPATH" "$(command -v "$PYTHON")" > .venvs/python/bin/python
    chmod +x .venvs/python/bin/python
fi

nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv || echo "no nvidia-smi here"
"$PYTHON" -m bench reference
timeout "$((MINUTES * 30))" "$PYTHON" -m scripts.gpu_offline --device "$DEVICE" --texts "$TEXTS" --out "$OUT" \
    || echo "bulk embedding was not measured to its end; what was is in $OUT" >&2
DEVICES=cpu
[ "$DEVICE" = cpu ] || DEVICES="cpu,$DEVICE"
timeout "$((MINUTES * 30))" "$PYTHON" -m bench run --profile quick --gateways python,python-fp16 --device "$DEVICES" \
    --scenarios closed,server,offline --concurrency 1,64,256 --results "$OUT" --campaign gpu \
    || echo "the harness did not finish; what it measured is in $OUT" >&2
find "$OUT" -name '*.csv' -o -name manifest.json -o -name '*.png'

"""The ONNX monolith: ONNX Runtime behind the contract, with neither torch nor transformers."""

import os

# ONNX Runtime reports its use to its maker unless told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

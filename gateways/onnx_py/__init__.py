"""The ONNX monolith: a gateway that computes with ONNX Runtime, without torch and transformers."""

import os

# ONNX Runtime sends telemetry unless this variable is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

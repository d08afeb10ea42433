"""The ONNX monolith: ONNX Runtime behind the contract, with neither torch nor transformers."""

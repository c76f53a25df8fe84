"""Networks as files for other programs: ONNX, PyTorch's exported programs, safetensors."""

"""Graph writers: one readable file a network, from tensors to ONNX, exact under padding."""

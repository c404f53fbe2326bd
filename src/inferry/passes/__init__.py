"""Graph rewrites: one file each, ONNX model in, ONNX model out."""

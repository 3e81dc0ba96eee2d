"""Trained models for ONNX Runtime and OpenVINO."""

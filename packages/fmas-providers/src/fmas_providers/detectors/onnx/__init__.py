"""The detector `onnx`: what `unet` became, without torch. Exporting needs torch, inspecting onnxruntime alone."""

"""Sharpness-Aware Minimization in TensorFlow 2, from a CPU to a TPU pod slice."""

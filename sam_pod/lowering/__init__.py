"""A TPU's program without a TPU: traced under a real TPUStrategy, lowered, and run."""

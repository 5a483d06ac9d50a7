"""A run whose steps JAX executes, through PJRT: where TensorFlow has no runtime."""

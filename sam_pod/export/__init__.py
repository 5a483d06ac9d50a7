"""A run for other runtimes: StableHLO programs, SavedModel and a Keras file."""

"""Compile a run's programs for a TPU slice that is not there, and judge them."""

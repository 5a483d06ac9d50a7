"""One run on one workdir."""

"""A TPU slice through gcloud."""

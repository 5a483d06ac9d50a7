"""A TPU slice of Google Kubernetes Engine."""

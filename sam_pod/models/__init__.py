"""Networks: by name, or from the user's own file."""

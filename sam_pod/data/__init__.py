"""Data sets: preparing them, reading them in a stateless order, augmenting them."""

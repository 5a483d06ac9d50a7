"""One optimization step, and the compiled loop around it."""

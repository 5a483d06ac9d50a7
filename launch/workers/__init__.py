"""Several processes of this machine: restarts, processes, output."""

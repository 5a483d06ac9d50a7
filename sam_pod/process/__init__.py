"""One process: its flags, signals, log and end."""

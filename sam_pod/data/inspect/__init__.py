"""The command that checks and shows a prepared data set."""

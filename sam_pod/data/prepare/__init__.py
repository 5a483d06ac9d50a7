"""The command that makes a prepared data set of a source."""

"""What kinds of pictures there are, and how each becomes pixels."""

"""What people bring, one source a file."""

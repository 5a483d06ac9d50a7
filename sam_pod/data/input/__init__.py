"""What a run reads: the order of examples, and how they get here."""

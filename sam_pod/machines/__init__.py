"""What computes, and who speaks to whom."""

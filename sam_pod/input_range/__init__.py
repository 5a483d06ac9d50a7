"""The range in which a model is fed its images, and what its first layers see."""

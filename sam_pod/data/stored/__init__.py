"""A prepared data set, as it lies in its folder."""

"""The names of the features in the records of a data set."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Features:
    """Names in a tf.train.Example; the defaults are those of `prepare`."""

    image: str = "image"
    label: str = "label"
    label_offset: int = 0  # Added to each label; -1 where classes count from 1.


PREPARED = Features()

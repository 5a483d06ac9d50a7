"""What the records of a data set call their features."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Features:
    """Names in a tf.train.Example; the defaults are those of `prepare`."""

    image: str = "image"
    label: str = "label"
    label_offset: int = 0  # Is added to a label; -1 where classes count from 1.


PREPARED = Features()

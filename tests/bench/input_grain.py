"""A contender of input.py: grain with ArrayRecord files, in an environment of its own.

Small images are stored raw, large ones as JPEG. The files are made before the clock.
"""

import glob
import io
import os

import grain.python as grain
import numpy as np
from array_record.python import array_record_module

from tests.bench import input_random, input_turns


def write(kind, folder):
    """Write the images as one ArrayRecord file and return its path."""
    path = os.path.join(folder, f"{kind}.array_record")
    if os.path.exists(path):
        return path
    writer = array_record_module.ArrayRecordWriter(path, "group_size:1")
    if kind == "small":
        for image in np.load(os.path.join(folder, "small.npy")):
            writer.write(image.tobytes())
    else:
        for file in sorted(glob.glob(os.path.join(folder, "large", "*.jpg"))):
            with open(file, "rb") as content:
                writer.write(content.read())
    writer.close()
    return path


class Augment(grain.RandomMapTransform):
    def __init__(self, kind):
        self.kind = kind

    def random_map(self, element, rng):
        if self.kind == "small":
            image = np.frombuffer(element, np.uint8).reshape(32, 32, 3)
            return input_random.crop_and_flip(image, rng), len(element) % 10
        file = io.BytesIO(element)
        size = input_turns.SIZE
        return input_random.part_and_flip(file, rng, size), len(element) % 10


def main():
    kind, folder, workers = input_turns.arguments()
    source = grain.ArrayRecordDataSource([write(kind, folder)])

    def make():
        sampler = grain.IndexSampler(
            num_records=len(source),
            shard_options=grain.NoSharding(),
            shuffle=True,
            num_epochs=None,
            seed=0,
        )
        return grain.DataLoader(
            data_source=source,
            sampler=sampler,
            operations=[
                Augment(kind),
                grain.Batch(input_turns.BATCH_SIZE[kind], drop_remainder=True),
            ],
            worker_count=workers,
        )

    input_turns.take_turns(make, kind)


if __name__ == "__main__":
    main()

"""Three contenders of input.py: our reading, twice, and a pipeline of single examples.

'host' reads as training does; small images are cropped and mirrored by the step, on its
device. 'ours' does here, too, what the step would, by its own functions. 'example' is
what TensorFlow's and TFDS' guides show: a shuffle buffer, then parse, decode, crop and
flip of each example. The check of the data before a run, which the others do not have,
is not in the time.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import glob
import sys

import tensorflow as tf

from sam_pod.config import keys as config_lib
from sam_pod.data import augment
from sam_pod.data.augment import geometry
from sam_pod.data.input import dataset, pipeline
from tests.bench import input_turns


def open_split(kind, folder):
    """Return what is trained on, and how large its batches are."""
    config = config_lib.defaults()
    config.data.name = "images"
    config.data.dir = os.path.join(folder, f"{kind}_set")
    if kind == "large":
        config.data.augment = "inception,flip"
        config.data.image_size = input_turns.SIZE
    return dataset.load(config).splits(1)["train"], input_turns.BATCH_SIZE[kind]


def host(kind, folder):
    """Return a function that starts what the host does for a step."""
    split, size = open_split(kind, folder)

    def make():
        input_fn = pipeline.training(
            split, global_batch_size=size, seed=0, start_step=0
        )
        strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
        return strategy.distribute_datasets_from_function(input_fn)

    return make


def ours(kind, folder):
    """Return a function that starts that, and crops and mirrors what is not yet."""
    make, size = host(kind, folder), input_turns.BATCH_SIZE[kind]
    if kind == "large":
        return make

    @tf.function(autograph=False)
    def augmented(images, number):
        key = tf.stack([tf.constant(0, tf.int64), number])
        draws = augment.draws(key, size)
        return geometry.crop(images, draws[:, 0:2], 4, draws[:, 2])

    def batches():
        for number, batch in enumerate(make()):
            yield augmented(batch.images, tf.constant(number, tf.int64)), batch.labels

    return batches


def example(kind, folder):
    """Return a function that starts a pipeline of single examples."""
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def work(serialized):
        features = tf.io.parse_single_example(serialized, spec)
        if kind == "small":
            image = tf.io.decode_raw(features["image"], tf.uint8)
            image = tf.pad(tf.reshape(image, [32, 32, 3]), [[4, 4], [4, 4], [0, 0]])
            image = tf.image.random_crop(image, [32, 32, 3])
        else:
            image = tf.io.decode_jpeg(features["image"], 3)
            begin, size, _ = tf.image.sample_distorted_bounding_box(
                tf.shape(image),
                tf.zeros([1, 0, 4]),
                area_range=[0.08, 1.0],
                aspect_ratio_range=[3 / 4, 4 / 3],
                max_attempts=10,
                use_image_if_no_bounding_boxes=True,
            )
            image = tf.image.resize(
                tf.slice(image, begin, size), [input_turns.SIZE] * 2
            )
            image = tf.cast(image + 0.5, tf.uint8)
        return tf.image.random_flip_left_right(image), features["label"]

    files = sorted(glob.glob(os.path.join(folder, f"{kind}_set", "train-*.tfrecord")))
    return lambda: (
        tf.data.Dataset.from_tensor_slices(files)
        .shuffle(len(files))
        .interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
        .shuffle({"small": 10_000, "large": 500}[kind])
        .repeat()
        .map(work, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(input_turns.BATCH_SIZE[kind], drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def main():
    which = {"host": host, "ours": ours, "example": example}[sys.argv.pop(1)]
    kind, folder, _ = input_turns.arguments()
    make = which(kind, folder)
    tf.constant(0) + 1  # TensorFlow starts its threads.
    input_turns.take_turns(make, kind)


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# Examples a to b of a TFDS split are not those that a loop over the split reads as a to b.
# as_dataset reads up to 16 files of TFRecords in turns of 16 examples, also with
# shuffle_files=False, and a slice such as 'train[0:25]' means the examples as they lie in
# the files, one file after the other. Who looks at all labels in a loop, chooses indices
# (the same number of each class, say) and reads those as slices gets other examples than
# the chosen ones; who takes 'train[:25]' as a test and skips 25 of 'train' trains on part
# of it. as_data_source (ArrayRecord) has no such turns, so that a set that is converted
# changes its order as well. ReadConfig(interleave_cycle_length=1) makes both the same.
# Seen with tensorflow-datasets 4.9.10 and tensorflow-cpu 2.16.2: of 100 examples in four
# files, the first 25 of the loop and of the slice had 16 in common. Exits with 0 while they
# differ, and while interleave_cycle_length=1 makes them equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow-datasets==4.9.10 \
  tensorflow-cpu==2.16.2 tensorflow-metadata==1.16.1 'numpy<2' 'setuptools<81'
export TF_CPP_MIN_LOG_LEVEL=3
"$folder/venv/bin/python" - "$folder/data" <<'EOF'
import sys

import numpy as np
import tensorflow_datasets as tfds


class Numbers(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"number": np.int64})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, manager):
        return {"train": ((i, {"number": i}) for i in range(100))}

    def _generate_examples(self):
        raise NotImplementedError


builder = Numbers(data_dir=sys.argv[1])
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=4)
)


def numbers(split, **more):
    dataset = builder.as_dataset(split=split, shuffle_files=False, **more)
    return [int(example["number"]) for example in dataset.as_numpy_iterator()]


whole, part = numbers("train"), numbers("train[0:25]")
common = len(set(whole[:25]) & set(part))
print(f"of the first 25 of the loop and those of train[0:25] {common} are the same")
assert sorted(whole) == list(range(100))
assert len(part) == 25 > common, common
one = {"read_config": tfds.ReadConfig(interleave_cycle_length=1)}
assert numbers("train", **one)[:25] == numbers("train[0:25]", **one)
assert set(numbers("train[0:25]", **one)) == set(part)
EOF

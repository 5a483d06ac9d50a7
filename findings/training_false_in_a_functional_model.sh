#!/usr/bin/env bash
# Keras: `base(x, training=False)` in a functional model does not hold in model.fit.
#
# Guides to fine-tuning call a base so, to keep the statistics of its BatchNormalization
# where they are once it is unfrozen. Seen with Keras 3.12.0 and 3.15.1 (on JAX 0.7.2):
# model.fit moves moving_mean all the same (Functional.call hands its own `training` to
# every layer, in place of the recorded one); `base.trainable = False` does hold it.
# Exits with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
cd "$folder"
for version in 3.12.0 3.15.1; do
  venv/bin/pip install -q "keras==$version" jax==0.7.2 numpy==2.2.6
  KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python - <<'PYTHON'
import keras
import numpy as np

L, random = keras.layers, np.random.default_rng(0)
images = random.random((32, 8, 8, 3), np.float32)
labels = random.integers(0, 4, 32)


def moved(trainable):
    keras.utils.set_random_seed(0)
    norm = L.BatchNormalization(momentum=0.5)
    base = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), norm])
    base.trainable = trainable
    inputs = keras.Input((8, 8, 3))
    features = L.GlobalAveragePooling2D()(base(inputs, training=False))
    model = keras.Model(inputs, L.Dense(4)(features))
    before = keras.ops.convert_to_numpy(norm.moving_mean)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, labels, verbose=0)
    return np.abs(keras.ops.convert_to_numpy(norm.moving_mean) - before).max()


unfrozen, frozen = moved(True), moved(False)
print("Keras", keras.__version__, f"moved {unfrozen:.4f}, frozen {frozen:.4f}")
if not unfrozen > 1e-3 or frozen:
    raise SystemExit("training=False holds: this has changed.")
PYTHON
done

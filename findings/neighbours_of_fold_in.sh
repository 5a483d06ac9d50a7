#!/usr/bin/env bash
# tf.random.experimental.stateless_fold_in(seed, n) is [a number of the seed, n]: n stands
# in the result as it is, and seeds of neighbouring n differ by one in the second word. That
# is where Keras' SeedGenerator counts how often it has drawn. Who calls a model with
# stateless_call and gives layer n the state fold_in(seed, n), as one would give each a key
# in JAX, gives a layer that draws twice (a shared Dropout, say) for its second draw the
# first of the next layer: the masks are the same, number by number. What helps: numbers
# with room between them (n * 65536), or folding in twice.
# Seen with tensorflow-cpu 2.16.2 and keras 3.12.4. Exits with 0 while the masks are the
# same, and differ with room between the numbers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow-cpu==2.16.2 keras==3.12.4 'numpy<2' \
  'setuptools<81'
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/venv/bin/python" - <<'EOF'
import keras
import numpy as np
import tensorflow as tf

fold_in = tf.random.experimental.stateless_fold_in
seed = tf.constant([3, 7])
print("fold_in of 0, 1, 2:", [fold_in(seed, n).numpy().tolist() for n in range(3)])

inputs = keras.Input((1000,))
shared, other = keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)
outputs = [shared(inputs), shared(inputs), other(inputs)]
model = keras.Model(inputs, keras.layers.Concatenate()(outputs))


def equal_places(room):
    """Return the share of places at which the second and the third mask are equal."""
    states = [tf.cast(fold_in(seed, room * n), tf.int64) for n in range(2)]
    found, _ = model.stateless_call([], states, tf.ones([1, 1000]), training=True)
    first, second, third = np.split(found.numpy()[0] > 0, 3)
    assert 0.4 < (first == second).mean() < 0.6
    return (second == third).mean()


close, apart = equal_places(1), equal_places(1 << 16)
print(f"second mask of one layer and first of the next: {close:.0%} equal")
print(f"with room between the numbers: {apart:.0%}")
assert close == 1
assert 0.4 < apart < 0.6
EOF

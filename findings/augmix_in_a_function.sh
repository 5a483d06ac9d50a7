#!/usr/bin/env bash
# keras.layers.AugMix draws which operations it mixes by Python's random.choice. In a
# compiled function, as in Keras' own fit, that is drawn once, when the function is traced:
# every batch of the run has the same chains of operations (only their strengths and
# weights are drawn anew), although the layer is documented to sample them, and another
# process, or the same one that is traced again, has other chains whatever seed the layer
# was given. Called eagerly it draws for every batch.
# Seen with tensorflow-cpu 2.16.2 with keras 3.12.4, and 2.20.0 with 3.15.1. Exits with 0
# while ten calls of a compiled function draw as often as the first alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/chains.py" <<'EOF'
import random

import keras
import tensorflow as tf

drawn = []
choose = random.choice
random.choice = lambda some: drawn.append(choose(some)) or drawn[-1]
layer = keras.layers.AugMix((0, 1), seed=1)
images = tf.random.stateless_uniform([2, 8, 8, 3], [0, 0])


def draws(call):
    counts = []
    for _ in range(10):
        before = len(drawn)
        call(images)
        counts.append(len(drawn) - before)
    return counts


eager = draws(lambda x: layer(x, training=True))
compiled = draws(tf.function(lambda x: layer(x, training=True)))
print(f"keras {keras.__version__}: draws of ten calls, eager {eager}, {compiled}")
assert all(eager) and compiled[0] and not any(compiled[2:])
EOF
for pair in 2.16.2,3.12.4 2.20.0,3.15.1; do
  python3.11 -m venv "$folder/$pair"
  "$folder/$pair/bin/pip" install -q "tensorflow-cpu==${pair%,*}" "keras==${pair#*,}"
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/$pair/bin/python" "$folder/chains.py"
done

#!/usr/bin/env bash
# A .keras file of Keras 3.12.4 holds no weights of layers in lists within lists. A layer
# that keeps its layers in a list of lists (stages of blocks) trains them as any others:
# they are among its variables, and get gradients. The file that model.save writes lacks
# them, and keras.models.load_model fills the others and leaves these with new random
# values, without a warning: the loaded model gives other outputs, and other ones each time
# it is loaded. Layers in a flat list come back. Keras 3.15.1 writes and reads both.
# Seen with keras 3.12.4 and 3.15.1 on jax 0.6.2. Exits with 0 while it is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/lost.py" <<'EOF'
import sys
import warnings

import keras
import numpy as np

warnings.simplefilter("error", UserWarning)


@keras.saving.register_keras_serializable("example")
class Stages(keras.layers.Layer):
    def __init__(self, nested, **arguments):
        super().__init__(**arguments)
        self.nested = nested
        blocks = [keras.layers.Dense(4), keras.layers.Dense(4)]
        self.blocks = [[block] for block in blocks] if nested else blocks

    def build(self, shape):
        for block in self.blocks:
            (block[0] if self.nested else block).build(shape)

    def call(self, x):
        for block in self.blocks:
            x = (block[0] if self.nested else block)(x)
        return x

    def get_config(self):
        return {**super().get_config(), "nested": self.nested}


x = np.ones((2, 4), "float32")
found = {}
for nested in (False, True):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Stages(nested)(inputs))
    assert len(model.trainable_variables) == 4
    path = f"{sys.argv[1]}/{nested}.keras"
    model.save(path)
    ways = [model, *(keras.models.load_model(path) for _ in range(2))]
    first, second, third = (np.asarray(way(x)) for way in ways)
    found[nested] = bool(np.allclose(first, second)), bool(np.allclose(second, third))
print(f"keras {keras.__version__}: flat, nested (as saved, loaded twice alike):", found)
is_old = keras.__version__ == "3.12.4"
assert found == {False: (True, True), True: (not is_old, not is_old)}
EOF
for version in 3.12.4 3.15.1; do
  python3.11 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install -q "keras==$version" jax==0.6.2
  KERAS_BACKEND=jax "$folder/$version/bin/python" "$folder/lost.py" "$folder"
done

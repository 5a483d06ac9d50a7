"""What a model has no form of is left out, whatever its layers raise."""

import errno
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.export import folder as export
from sam_pod.models import own_code
from sam_pod.process import signals
from tests import runs, training
from tests.export import trained

OWN = """
import keras
import tensorflow as tf

class Held:
    def __init__(self, table):
        self.table = table

@keras.saving.register_keras_serializable("tests")
class Untracked(keras.layers.Layer):
    def build(self, shape):
        rows = tf.lookup.KeyValueTensorInitializer([0], [1.0])
        self.held = Held(tf.lookup.StaticHashTable(rows, 0.0))

    def call(self, x):
        return x * self.held.table.lookup(tf.constant(0))
"""


@pytest.mark.slow
def test_a_table_that_keras_does_not_find_leaves_the_rest(tmp_path, caplog):
    (tmp_path / "own_untracked.py").write_text(OWN)
    own = own_code.load(str(tmp_path / "own_untracked.py"))
    images = keras.Input((8, 8, 3))
    x = own["Untracked"]()(keras.layers.Conv2D(4, 3)(images))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = tmp_path / "small.keras"
    keras.Model(images, keras.layers.Dense(4)(x)).save(model)
    trusted = {"model.trusted_modules": str(tmp_path / "own_untracked.py")}
    config = runs.small_config(
        tmp_path, num_epochs=1, **{"model.name": str(model), **trusted}
    )
    training.run(config, tmp_path / "run")
    out = tmp_path / "out"
    export.write(str(tmp_path / "run"), str(out))
    manifest = json.loads((out / "manifest.json").read_text())
    reason = manifest["not_made"]["saved_model/1"]
    assert "'untracked' resource" in reason
    lines = [r.getMessage() for r in caplog.records if "cannot be made" in r.message]
    assert f"saved_model/1 cannot be made: {reason}" in lines
    assert not (out / "saved_model").exists()
    # What remains is of the trained weights.
    stored = trained.values(tmp_path / "run")
    opened = keras.models.load_model(out / "model.keras")
    kernel = opened.layers[-1].kernel.numpy()
    assert any(np.array_equal(kernel, value) for value in stored.values())
    assert (out / "values.npz").exists()


def op_error(kind, text="of a layer"):
    return kind(None, None, text)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AssertionError("untracked resource"), "untracked resource"),
        (errors.UserError("does not compile."), "does not compile"),
        (NotImplementedError("get_config"), "get_config"),
        (op_error(tf.errors.InvalidArgumentError), "InvalidArgumentError: of a layer"),
        (op_error(tf.errors.UnimplementedError), "UnimplementedError: of a layer"),
        (KeyError("units"), "KeyError: 'units'"),
        (IndexError("range"), "IndexError: range"),
        (AttributeError("no shape"), "AttributeError: no shape"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (AssertionError(), "AssertionError"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_whatever_a_layer_raises_is_a_reason(error, reason):
    not_made = {}
    with export._may_fail("saved_model/1", not_made):
        raise error
    assert not_made == {"saved_model/1": reason}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        op_error(tf.errors.UnknownError, "x; No space left on device"),
        op_error(tf.errors.ResourceExhaustedError, "OOM when allocating tensor"),
        MemoryError(),
        signals.Interrupted(),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_is_no_fault_of_the_model_ends_the_export(error):
    not_made = {}
    with pytest.raises(type(error)), export._may_fail("saved_model/1", not_made):
        raise error
    assert not not_made

"""Each exported form of a trained model answers as the trainer does."""

import json
import os
import re
import shutil

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.stored import manifest as data_manifest
from sam_pod.export import folder as export
from sam_pod.models import own_code, table
from sam_pod.run import build
from tests import runs, training
from tests.export import elsewhere, trained

pytestmark = pytest.mark.slow

OWN = """
import keras

@keras.saving.register_keras_serializable("tests")
class OwnScale(keras.layers.Layer):
    def call(self, x):
        return 0.5 * x
"""


def keras_logits(folder, images):
    """Return the Keras file's logits, after what the manifest says comes before."""
    manifest = json.loads((folder / "manifest.json").read_text())
    rule = manifest["preprocessing"]["standardize"]
    pixels = images.astype(np.float32) / 255
    pixels = (pixels - np.float32(rule["mean"])) / np.float32(rule["std"])
    model = keras.models.load_model(folder / manifest["keras"]["file"])
    return model(pixels, training=False).numpy()


def saved_model_logits(folder, images):
    served = tf.saved_model.load(str(folder / "saved_model" / "1"))
    answers = served.signatures["serving_default"](images=tf.constant(images))
    logits = answers["logits"].numpy()
    np.testing.assert_allclose(
        answers["probabilities"].numpy(), tf.nn.softmax(logits).numpy(), atol=1e-6
    )
    # Any number of images.
    one = served.signatures["serving_default"](images=tf.constant(images[:1]))
    np.testing.assert_allclose(one["logits"].numpy(), logits[:1], atol=1e-5)
    return logits


def code_of_the_docs(folder):
    """Return what docs/models.md shows of an inference."""
    page = (runs.ROOT / "docs/models.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    return code.replace('"DIR"', repr(str(folder)))


def logits_of_the_docs(folder, images):
    names = {"images": images}
    exec(code_of_the_docs(folder), names)
    return np.asarray(names["logits"])


@pytest.mark.parametrize(
    "logits_of", [elsewhere.infer, logits_of_the_docs, saved_model_logits, keras_logits]
)
def test_each_form_of_the_model_answers_as_the_trainer_does(finished, logits_of):
    config, workdir, folder = finished
    images, labels = trained.test_images(config)
    logits = logits_of(folder, images)
    data = data_manifest.read(config.data.dir)
    recipe = build.build_recipe(config, data, epoch_steps=5)
    stored = trained.values(workdir)
    parts = [
        [stored[f"{role}/{i}"] for i in range(count)]
        for role, count in (
            ("weights", len(recipe.network.initial_weights())),
            ("stats", len(recipe.network.initial_stats())),
        )
    ]
    expected = recipe.network.apply(*parts, recipe.evaluation_images(images)).logits
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=2e-6)
    # And what the trainer reported of its test set.
    told = runs.result(workdir)
    right = logits.argmax(1) == labels
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -log_p[np.arange(30), labels].mean()
    assert right.mean() == pytest.approx(told["test_accuracy"])
    assert loss == pytest.approx(told["test_loss"], abs=1e-5)


def test_a_training_step_is_called_as_the_docs_say(finished):
    _, _, folder = finished
    code = code_of_the_docs(folder).replace('"inference"', '"train_step"')
    code, called = code.replace("(logits,) =", "new ="), "*state, images)"
    assert called in code
    code = code.replace(called, "*state, *batch)")
    manifest = json.loads((folder / "manifest.json").read_text())
    *_, images, labels = manifest["programs"]["train_step"]["inputs"]
    batch = [np.ones(x["shape"], x["dtype"]) for x in (images, labels)]
    names = {"batch": batch}
    jax.config.update("jax_enable_x64", True)
    try:
        exec(code, names)
    finally:
        jax.config.update("jax_enable_x64", False)
    old = names["state"]
    new = [np.asarray(x) for x in names["new"][: len(old)]]
    assert new[0] == old[0] + 1
    moved = [np.any(x != y) for x, y in zip(old, new, strict=True)]
    assert sum(moved) > len(old) / 2


def test_the_saved_model_is_what_tensorflow_serving_takes(finished):
    """Served as Serving does it: by tag, signature and the names of tensors."""
    config, _, folder = finished
    versions = os.listdir(folder / "saved_model")
    assert versions == ["1"]  # Serving reads folders whose name is a number.
    images, _ = trained.test_images(config)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(
            session, ["serve"], str(folder / "saved_model" / versions[0])
        )
        signature = loaded.signature_def["serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        assert list(signature.inputs) == ["images"]
        assert sorted(signature.outputs) == ["logits", "probabilities"]
        names = {key: info.name for key, info in signature.outputs.items()}
        answer = session.run(names, {signature.inputs["images"].name: images})
    expected = elsewhere.infer(folder, images)
    np.testing.assert_allclose(answer["logits"], expected, rtol=0, atol=2e-6)
    told = json.loads((folder / "manifest.json").read_text())["saved_model"]
    assert told["folder"] == "saved_model/1"
    assert {tensor["name"] for tensor in told["outputs"]} == set(signature.outputs)


def test_what_cannot_be_made_of_a_model_leaves_the_rest(tmp_path, caplog):
    """Images are rotated by an operation that XLA has no kernel for.

    They go through a layer of the user's, too, whose module is named.
    """
    (tmp_path / "own_scale.py").write_text(OWN)
    own = own_code.load(str(tmp_path / "own_scale.py"))
    model = tmp_path / "small.keras"
    images = keras.Input((8, 8, 3))
    x = own["OwnScale"]()(keras.layers.RandomRotation(0.1)(images))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    keras.Model(images, keras.layers.Dense(4)(x)).save(model)
    trusted = {"model.trusted_modules": str(tmp_path / "own_scale.py")}
    config = runs.small_config(tmp_path, num_epochs=1, **trusted)
    training.run(config, tmp_path / "run")
    out = tmp_path / "out"
    export.write(str(tmp_path / "run"), str(out))
    manifest = json.loads((out / "manifest.json").read_text())
    assert list(manifest["not_made"]) == ["train_step.stablehlo"]
    reason = manifest["not_made"]["train_step.stablehlo"]
    assert "ImageProjectiveTransformV3 in random_rotation" in reason
    lines = [r.getMessage() for r in caplog.records if "cannot be made" in r.message]
    assert lines == [f"train_step.stablehlo cannot be made: {reason}"]
    assert list(manifest["programs"]) == ["inference"]
    assert manifest["keras"]["custom_layers"] == ["tests>OwnScale"]
    assert manifest["keras"]["import_first"] == "own_scale"
    assert not (out / "train_step.stablehlo").exists()
    images, _ = trained.test_images(config)
    served = tf.saved_model.load(str(out / "saved_model" / "1"))
    logits = served.serve(tf.constant(images))["logits"].numpy()
    pixels = images.astype(np.float32) / 255
    opened = keras.models.load_model(out / "model.keras")
    for other in (
        elsewhere.infer(out, images[:16]),
        opened(pixels, training=False).numpy(),
    ):
        np.testing.assert_allclose(other, logits[: len(other)], rtol=0, atol=2e-6)


def test_the_keras_file_is_a_model_to_train(finished):
    config, workdir, folder = finished
    network = table.build(str(folder / "model.keras"), (8, 8, 3), 4)
    stored = trained.values(workdir)
    for i, value in enumerate(network.initial_weights().values()):
        np.testing.assert_array_equal(value, stored[f"weights/{i}"])
    for i, value in enumerate(network.initial_stats().values()):
        np.testing.assert_array_equal(value, stored[f"stats/{i}"])
    assert config.model.name != str(folder / "model.keras")


def test_the_best_checkpoint_starts_anew(interrupted, tmp_path):
    _, workdir, _ = interrupted
    export.write(str(workdir), str(tmp_path / "out"), which="best")
    best = trained.values(workdir, "checkpoints/best")
    with np.load(tmp_path / "out" / "values.npz") as stored:
        assert stored["step"] == 0
        slots = [stored[key] for key in stored if key.startswith("slots/")]
        kernel = stored[trained.dense_kernel(stored)]
    assert len(slots) == 10
    assert not any(slot.any() for slot in slots)
    np.testing.assert_array_equal(kernel, best["weights/3"])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["checkpoint"]["step"] == 5


def test_a_damaged_checkpoint_is_passed_over_and_left_where_it_is(finished, tmp_path):
    _, workdir, _ = finished
    shutil.copytree(workdir, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "ckpt-30-6.index").write_bytes(b"")
    before = sorted(os.listdir(checkpoints))
    export.write(str(tmp_path / "run"), str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["checkpoint"]["name"] == "ckpt-25-5"
    assert sorted(os.listdir(checkpoints)) == before

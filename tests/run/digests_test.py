"""A run knows its data, its model and the model's code by their contents."""

import hashlib

from sam_pod.config import keys as config_lib
from sam_pod.run import digests
from tests import runs


def test_inputs_are_known_by_the_sha256_of_their_files(tmp_path):
    model = tmp_path / "a.keras"
    runs.save_model(model)
    config = config_lib.defaults()
    config.model.name = str(model)
    known = digests.of_inputs(config, "the data's")
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    assert known == {"data.dir": "the data's", "model.name": sha256}
    moved = model.rename(tmp_path / "b.keras")
    assert digests.is_same("model.name", str(moved), known)
    runs.save_model(moved, seed=2)
    assert not digests.is_same("model.name", str(moved), known)
    # What has no content of its own is the same only where its value is.
    assert not digests.is_same("seed", 1, {"seed": "1"})
    assert not digests.is_same("model.name", str(moved), {})

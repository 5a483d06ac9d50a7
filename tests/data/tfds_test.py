import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data import manifest, shards, tfds
from tests.data import made


def test_without_the_library_the_command_that_installs_it_is_named(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    with pytest.raises(errors.UserError, match=r"install --no-deps .*tfds\.lock`"):
        tfds.read(str(tmp_path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a data set as the library itself does."""
    library = pytest.importorskip(
        "tensorflow_datasets", reason="needs the packages of sam_pod/data/tfds.lock"
    )
    root = tmp_path_factory.mktemp("tfds")

    class Insects(library.core.GeneratorBasedBuilder):
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            features = library.features.FeaturesDict(
                {
                    "image": library.features.Image(shape=(6, 4, 3)),
                    "label": library.features.ClassLabel(names=["ant", "bee"]),
                }
            )
            return library.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            del manager
            return {
                "train": self._generate_examples(0, 13),
                "validation": self._generate_examples(50, 4),
            }

        def _generate_examples(self, first, count):
            for i in range(first, first + count):
                yield i, {"image": made.image(i), "label": i % 2}

    builder = Insects(data_dir=str(root))
    builder.download_and_prepare()
    return builder.data_dir


def test_images_come_as_they_are_stored(tmp_path, folder):
    source = tfds.read(folder)
    assert (source.name, source.classes) == ("insects", ("ant", "bee"))
    assert source.splits["test"].num_examples == 4  # Its validation split.
    made.check_random_access(source)
    found = {item.image for item in made.items(source, "train")}
    assert len(found) == 13
    written = shards.write_with(source, str(tmp_path / "set"), 2, num_processes=2)
    manifest.verify(tmp_path / "set", written.manifest)
    pixels = np.stack([made.image(i) for i in range(13)]) / 255
    mean = pixels.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(written.manifest.mean, mean, rtol=1e-12)


def test_another_folder_is_refused(tmp_path, folder):
    with pytest.raises(errors.UserError, match=r"has no dataset_info\.json"):
        tfds.read(str(tmp_path))

"""CIFAR-100 as its authors publish it, in the binary version; the 100 fine labels."""

from sam_pod.data.sources import cifar
from sam_pod.data.stored import records

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
SHA256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
FOLDER = "cifar-100-binary"

LAYOUT = cifar.Layout(
    name="cifar100",
    kind="cifar-100-binary",
    url=URL,
    members={"train": (f"{FOLDER}/train.bin",), "test": (f"{FOLDER}/test.bin",)},
    classes_member=f"{FOLDER}/fine_label_names.txt",
    first_classes=("apple", "aquarium_fish", "baby", "bear", "beaver"),
    num_classes=100,
    label_bytes=2,  # Coarse, then fine.
)


def read_archive(path: str, sha256: str = SHA256) -> records.Source:
    """Return the source in the archive at `path`.

    Raises:
        UserError: another checksum than `sha256`, or no such archive inside.
    """
    return cifar.read(path, LAYOUT, sha256)

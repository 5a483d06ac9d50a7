"""Write a data set as shards that the trainer reads: once, before training.

python -m sam_pod.data.prepare --dataset=cifar10 --source=download --output=data/cifar10
python -m sam_pod.data.prepare --dataset=cifar10 --source=PATH --output=data/cifar10
python -m sam_pod.data.prepare --dataset=images --source=PATH --output=data/images
python -m sam_pod.data.prepare --dataset=digits --output=data/digits

PATH is a folder or a tar (.tar, .tar.gz) of images train/<class>/* and test/<class>/*,
all of one size; for cifar10 also the official cifar-10-binary.tar.gz. `download`
fetches that archive to the folder above --output and leaves it there.

--output must be empty or new. It appears whole or not at all, and the same source
gives the same bytes. Exit codes: 0 done, 1 a mistake to mend (one line says which),
42 interrupted: run the same command again.
"""

import dataclasses
import os
import sys
import tarfile
import time
import traceback
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import tqdm
from absl import flags

from sam_pod import errors, interrupts, new_folder

# Whatever needs TensorFlow is imported where it is used: --help and a wrong flag
# answer at once, and `main` can say first how TensorFlow shall behave.
if TYPE_CHECKING:
    from sam_pod.data import manifest as manifest_lib
    from sam_pod.data import records


def prepare(
    dataset: str,
    source: str,
    output: str,
    num_shards: int = 8,
    check: Callable[[], object] = lambda: None,
) -> "manifest_lib.Manifest":
    """Write the data set to the folder `output`.

    Args:
        dataset: 'cifar10', 'digits' or 'images'.
        source: 'download', the path of an archive or a folder, '' for the digits.
        output: A folder that is empty or does not exist.
        num_shards: Files per split.
        check: Called after each example and each block of a download; what it raises
            ends the preparation.

    Raises:
        UserError: the source, an example of it, or the output is not as it must be.
    """
    read = errors.lookup(READERS, dataset, "dataset")
    from sam_pod.data import shards

    new_folder.check(output)  # Before anything is downloaded.
    examples = read(source, output, check)
    total = sum(split.num_examples for split in examples.splits.values())
    # None turns the bar off where stderr is no terminal.
    with tqdm.tqdm(total=total, desc=dataset, unit=" images", disable=None) as bar:

        def progress() -> None:
            bar.update()
            check()

        return shards.write(examples, output, num_shards, progress)


def _read_cifar10(
    source: str, output: str, check: Callable[[], object]
) -> "records.Source":
    from sam_pod.data import cifar10

    if source == "download":
        parent = os.path.dirname(os.path.realpath(output))
        source = os.path.join(parent, cifar10.FILE_NAME)
        cifar10.download(source, check)
    if _is_cifar10_archive(source):
        return cifar10.read_archive(source)
    found = _read_images(source, output, check)
    if found.classes != cifar10.CLASSES:
        raise errors.UserError(
            f"{source} has the classes {', '.join(found.classes)[:120]}; those of "
            f"cifar10 are {', '.join(cifar10.CLASSES)}. Use --dataset=images."
        )
    return dataclasses.replace(found, name="cifar10")


def _is_cifar10_archive(path: str) -> bool:
    """Tell the official archive, whole or not, from a tar of images."""
    if not os.path.isfile(path):
        return False
    if os.path.basename(path) == "cifar-10-binary.tar.gz":
        return True
    try:
        with tarfile.open(path, "r|gz") as tar:
            first = tar.next()
    except (OSError, EOFError, tarfile.TarError, zlib.error):
        return False
    return first is not None and first.name.startswith("cifar-10-batches-")


def _read_images(
    source: str, output: str, check: Callable[[], object]
) -> "records.Source":
    del output, check  # Nothing is fetched.
    from sam_pod.data import images

    if source in ("", "download"):
        raise errors.UserError(
            f"`source` is {source!r}; it must be the path of a folder or a tar of "
            "images (or 'download' for cifar10)."
        )
    return images.read(source)


def _read_digits(
    source: str, output: str, check: Callable[[], object]
) -> "records.Source":
    del output, check  # Nothing is fetched.
    from sam_pod.data import digits

    if source not in ("", "embedded"):
        raise errors.UserError(
            f"`source` is {source!r}; the digits are embedded: leave it out."
        )
    return digits.read()


READERS = {"cifar10": _read_cifar10, "digits": _read_digits, "images": _read_images}


def summary(output: str, manifest: "manifest_lib.Manifest", seconds: float) -> str:
    """Return one line about a data set that was prepared."""
    sizes = {split: manifest.num_examples(split) for split in manifest.splits}
    shards = [shard for part in manifest.splits.values() for shard in part]
    return (
        f"{output}: "
        + " + ".join(f"{size:,} {split}" for split, size in sizes.items())
        + f" examples of {'x'.join(map(str, manifest.image_shape))}"
        + f" in {len(manifest.classes)} classes, "
        + "+".join(str(len(part)) for part in manifest.splits.values())
        + f" shards, {sum(shard.num_bytes for shard in shards) / 1e6:.1f} MB"
        + f" in {seconds:.1f} s"
    )


def _flags() -> flags.FlagValues:
    # Values of its own: importing this module gives another command no flags.
    values = flags.FlagValues()
    flags.DEFINE_string(
        "dataset", None, "cifar10, digits or images.", flag_values=values
    )
    flags.DEFINE_string(
        "source", "", "download, or a path; see above.", flag_values=values
    )
    flags.DEFINE_string("output", None, "Folder to write.", flag_values=values)
    flags.DEFINE_integer(
        "num_shards", 8, "Files per split.", lower_bound=1, flag_values=values
    )
    return values


def _run(argv: list[str], check: Callable[[], object]) -> None:
    values = _flags()
    if {"-h", "--help", "-help", "--helpshort", "--helpfull"} & set(argv):
        print(__doc__ + values.get_help())
        return
    unknown = values(argv)[1:]
    if unknown:
        raise errors.UserError(f"{unknown[0]!r} is no flag; --help lists them.")
    for name in ("dataset", "output"):
        if not values[name].value:
            raise errors.UserError(f"--{name} is missing; --help shows examples.")
    start = time.monotonic()
    manifest = prepare(
        values.dataset, values.source, values.output, values.num_shards, check
    )
    print(summary(values.output, manifest, time.monotonic() - start))


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    interruption = interrupts.Interruption()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A training on this machine may need all the memory of its GPU.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        _run(argv, interruption.check)
    except (errors.UserError, flags.Error) as error:
        print("Error:", " ".join(str(error).splitlines()), file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Exception):
        # An extension that is interrupted while it is loaded raises errors of its own.
        if not interruption.came:
            traceback.print_exc()
            return 70
        print("Interrupted: the same command starts it anew.", file=sys.stderr)
        return interrupts.EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

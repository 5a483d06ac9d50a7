"""Look at a prepared data set: check it, count it, draw it.

python -m sam_pod.data.inspect data/cifar10
python -m sam_pod.data.inspect gs://BUCKET/imagenet --output=sheet.png

Reads every byte once, from wherever TensorFlow reads: every CRC is verified, of shards,
records and offset indexes. Prints the examples of each class and split, the sizes of
images, mean and deviation, and the share of labels that are noisy on purpose. --output
draws a contact sheet, a row of training images for each of up to 16 classes.

Exit codes: 0 done, 1 what is wrong with the data, in one line, 42 interrupted.
"""

import sys
from collections.abc import Callable

from absl import flags

from sam_pod import errors
from sam_pod.process import command, data_commands, heavy_imports, path_flags
from sam_pod.storage import faults


def report(directory: str, output: str, raise_if_stopped: Callable[[], object]) -> str:
    """Verify a data set, write its contact sheet, and return a report on it.

    Args:
        directory: The data set's folder.
        output: The path of the PNG; '' for none.
        raise_if_stopped: A function called now and then; what it raises ends the work.

    Raises:
        UserError: the data set is not whole, or the sheet cannot be written.
    """
    import tensorflow as tf

    from sam_pod.data.inspect import class_sheet, survey
    from sam_pod.data.stored import manifest as manifest_lib
    from sam_pod.data.stored import verify

    manifest = manifest_lib.read(directory)
    found = survey.Survey(manifest)

    def look(split: str, content: bytes, starts: list[int]) -> None:
        raise_if_stopped()
        found.look(split, content, starts)

    verify.check(directory, manifest, look)
    lines = survey.lines(manifest, found)
    if output:
        picture = class_sheet.draw(manifest, found.samples)
        try:
            with tf.io.gfile.GFile(output, "wb") as file:
                file.write(picture)
        except tf.errors.OpError as error:
            raise errors.UserError(faults.remote(output, error, "write")) from error
        lines.append(f"Contact sheet: {output}")
    return "\n".join(lines)


def _run(argv: list[str], raise_if_stopped: Callable[[], object]) -> None:
    values = flags.FlagValues()
    path_flags.define(
        "output",
        "",
        "Where a contact sheet is written, as a PNG; none if empty.",
        flag_values=values,
    )
    directories = command.parse_with_words(values, argv, __doc__)
    if len(directories) != 1:
        raise errors.UserError(
            f"{len(directories)} folders are given; it must be one: python -m "
            "sam_pod.data.inspect DIR"
        )
    try:
        directory = path_flags.expand(directories[0])
    except ValueError as error:
        raise errors.UserError(f"{directories[0]}: {error}.") from error
    heavy_imports.tensorflow_alone()
    print(report(directory, values.output, raise_if_stopped))


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    advice = "the same command starts it again."
    return data_commands.run(
        lambda raise_if_stopped: _run(argv, raise_if_stopped), advice
    )


if __name__ == "__main__":
    command.leave(main(sys.argv))

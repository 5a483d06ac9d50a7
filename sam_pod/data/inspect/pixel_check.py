"""Whether mean and deviation in a manifest are those of the pixels that are stored."""

import math

import numpy as np

from sam_pod import errors
from sam_pod.data.pictures import decoding, pixel_sums
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.data.stored import schema

# All raw images are checked. Decoding takes a hundred times as long, so of many encoded
# images this number is checked, evenly spread.
MAX_DECODED = 10_000
_CHUNK_BYTES = 8 << 20  # Raw images that are summed at once.
_ROUNDING = 1e-6
# A sample's mean is off by its standard error; one in a billion by six of them.
_STANDARD_ERRORS = 6
_SAMPLED_DEVIATION = 0.1  # The part by which a sample's deviation may be off.


class PixelCheck:
    """Sums up the training images that it is shown, in the order of the shards."""

    def __init__(self, manifest: manifest_lib.Manifest) -> None:
        self._manifest = manifest
        self._is_raw = manifest.image_encoding == "raw"
        self._total = manifest.num_examples("train")
        self._step = 1 if self._is_raw else -(-self._total // MAX_DECODED)
        size = math.prod(manifest.image_shape)
        self._chunk = max(1, _CHUNK_BYTES // size) if self._is_raw else decoding.CHUNK
        self._sums = pixel_sums.PixelSums()
        self._means: list[tuple[float, ...]] = []  # For each decoded image.
        self._waiting: list[bytes] = []
        self._seen = self._used = self._bad = 0

    def add(self, image: bytes) -> None:
        """Take in the next training image, as it is stored."""
        if self._seen % self._step == 0:
            self._waiting.append(image)
            if len(self._waiting) == self._chunk:
                self._sum_up()
        self._seen += 1

    def _sum_up(self) -> None:
        images, self._waiting = self._waiting, []
        if not images:
            return
        if self._is_raw:
            _, width, channels = self._manifest.image_shape
            pixels = np.frombuffer(b"".join(images), np.uint8)
            self._sums.add(pixels.reshape(-1, width, channels))
            self._used += len(images)
            return
        for pixels in decoding.decode(images, self._manifest.image_shape[2]):
            if pixels is None:
                self._bad += 1
                continue
            one = pixel_sums.PixelSums()
            one.add(pixels)
            self._means.append(one.mean_and_std()[0])
            self._sums.merge(one)
            self._used += 1

    def line(self) -> str:
        """Return a line on what was compared, once all images have been added.

        Raises:
            UserError: the manifest does not agree with the pixels, or a training image
                cannot be decoded.
        """
        self._sum_up()
        if self._bad:
            raise errors.UserError(
                f"{self._bad:,} of {self._used + self._bad:,} training images that "
                f"were decoded are no images. {schema.AGAIN}"
            )
        if not self._used:
            return "Mean and deviation were not compared: no training image was shown."
        mean, std = self._sums.mean_and_std()
        for name, stated, found, most in (
            ("mean", self._manifest.mean, mean, self._most_of_mean()),
            ("std", self._manifest.std, std, self._most_of_std(std)),
        ):
            pairs = zip(stated, found, most, strict=True)
            if any(not abs(a - b) <= limit for a, b, limit in pairs):
                raise errors.UserError(
                    f"`{name}` in {manifest_lib.FILE_NAME} is {_numbers(stated)}, but "
                    f"that of {self._what()} is {_numbers(found)}. {schema.AGAIN}"
                )
        agree = "agree with" if self._step == 1 else "fit"
        return f"Both {agree} the pixels of {self._what()}."

    def _what(self) -> str:
        if self._step == 1:
            return f"all {self._used:,} training images"
        return f"{self._used:,} of {self._total:,} training images"

    def _most_of_mean(self) -> list[float]:
        if self._step == 1:
            return [_ROUNDING] * len(self._manifest.mean)
        spread = np.std(self._means, axis=0) / math.sqrt(len(self._means))
        return [_ROUNDING + _STANDARD_ERRORS * float(each) for each in spread]

    def _most_of_std(self, std: tuple[float, ...]) -> list[float]:
        part = 0.0 if self._step == 1 else _SAMPLED_DEVIATION
        return [_ROUNDING + part * value for value in std]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)

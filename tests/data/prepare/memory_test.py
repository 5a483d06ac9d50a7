"""Preparation streams: ten times the images take hardly more memory."""

import os
import subprocess
import sys

import pytest

from sam_pod.data.prepare import shards
from tests.data import made

SIZES = (2_000, 20_000)
# Prepares in one process; prints its peak in KiB before there is a source, and after.
CODE = """
import sys
from sam_pod.data.pictures import decoding
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images

def peak():  # Not getrusage's, in which that of the parent counts.
    with open("/proc/self/status") as file:
        return int(file.read().split("VmHWM:")[1].split()[0])

with open(sys.argv[4], "rb") as file:
    list(decoding.decode([file.read()] * decoding.CHUNK, 3))
before = peak()
options = shards.ShardOptions(encoding=sys.argv[3])
count = int(sys.argv[5])
shards.write_with(images.read(sys.argv[1]), sys.argv[2], count, options)
print(before, peak())
"""


def write_tar(path, count):
    content = made.jpeg(made.image(0, (32, 32, 3)))
    members = {f"train/ant/{i:06d}.jpg": content for i in range(count)}
    members["test/ant/0.jpg"] = content
    path.write_bytes(made.tar(members))
    return content


@pytest.mark.slow
@pytest.mark.parametrize("encoding", shards.schema.ENCODINGS)
def test_memory_hardly_grows(tmp_path, encoding):
    peaks = []
    for size in SIZES:
        source, image = tmp_path / f"{size}.tar", tmp_path / "image.jpg"
        image.write_bytes(write_tar(source, size))
        # Shards of one size: each is read back in blocks of up to 8 MiB.
        arguments = (source, f"{source}.set", encoding, image, size // 1000)
        done = subprocess.run(
            [sys.executable, "-c", CODE, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        peaks.append([1024 * int(part) for part in done.stdout.split()])
    (_, little), (before, much) = peaks
    # 18,000 more images of 3 KiB are 55 MB raw; of each, the listing keeps a little.
    assert much - little < 0.1 * (SIZES[1] - SIZES[0]) * 3072
    assert much < 1.1 * before

"""Our side of networks.py: the compiled SAM step. network dtype batch threads."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import sys

from sam_pod.preflight import subject
from tests.bench import contender, our_step

SHAPES = {
    "wrn16_4": subject.KNOWN["cifar10"],
    "resnet50": subject.Shape((64, 64, 3), 1000, 50_000),
}


def main():
    network, dtype, batch_size, threads = sys.argv[1:]
    step = our_step.compile_steps(
        our_step.connect(int(threads)),
        {
            "model.name": network,
            "optimizer.name": "sgd",
            "sam.rho": 0.05,
            "data.augment": "",
        },
        batch_size=int(batch_size),
        dtype=dtype,
        steps=1,
        shape=SHAPES[network],
    )
    contender.answer(step)


if __name__ == "__main__":
    main()

"""A contender of input.py: PyTorch's DataLoader, as its examples use it.

Small images lie in memory, as torchvision holds CIFAR-10; large ones are files.
"""

import glob
import os

import numpy as np
import torch

from tests.bench import input_random, input_turns


class Images(torch.utils.data.Dataset):
    def __init__(self, kind, folder):
        self.kind = kind
        if kind == "small":
            self.images = np.load(os.path.join(folder, "small.npy"))
        else:
            self.images = sorted(glob.glob(os.path.join(folder, "large", "*.jpg")))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        random = np.random.default_rng(torch.randint(2**62, ()).item())
        if self.kind == "small":
            image = input_random.crop_and_flip(self.images[i], random)
        else:
            size = input_turns.SIZE
            image = input_random.part_and_flip(self.images[i], random, size)
        return torch.from_numpy(image), i % 10


def main():
    kind, folder, workers = input_turns.arguments()
    torch.set_num_threads(1)

    def make():
        loader = torch.utils.data.DataLoader(
            Images(kind, folder),
            batch_size=input_turns.BATCH_SIZE[kind],
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=True,
        )
        while True:
            yield from loader

    input_turns.take_turns(make, kind)


if __name__ == "__main__":
    main()

"""PyTorch's side of networks.py, as its users write it. network dtype batch threads.

channels_last, bfloat16 by autocast, loss and model one function under torch.compile,
and the usual SAM: perturb the weights in place, second backward pass, restore, step.
"""

import os
import sys

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
from torch import nn
from torch.nn import functional

from tests.bench import contender

RHO, RATE = 0.05, 0.1
# By network: side of the images, classes, parameters.
FACTS = {"wrn16_4": (32, 10, 2_706_906), "resnet50": (64, 1000, 25_557_032)}


def convolution(channels, filters, size, stride=1):
    return nn.Conv2d(channels, filters, size, stride, size // 2, bias=False)


class WideBlock(nn.Module):
    """Pre-activated; where channels change, a mean over 2 x 2, and zeros behind."""

    def __init__(self, channels, filters, stride, parts_late):
        super().__init__()
        self.parts_late, self.stride = parts_late, stride
        self.more = filters - channels
        self.norm = nn.BatchNorm2d(channels)
        self.body = nn.Sequential(
            convolution(channels, filters, 3, stride),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            convolution(filters, filters, 3),
        )

    def forward(self, x):
        y = functional.relu(self.norm(x))
        if self.parts_late:
            x = y
        y = self.body(y)
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride)
        if self.more:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.more))
        return x + y


def wrn16_4():
    layers, channels = [convolution(3, 16, 3)], 16
    for group, filters in enumerate((64, 128, 256)):
        for block in range(2):
            stride = 2 if group and not block else 1
            first = not group and not block
            layers.append(WideBlock(channels, filters, stride, first))
            channels = filters
    head = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(channels, 10))


class Bottleneck(nn.Module):
    """Of version 1.5: it strides in its 3 x 3."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        out = 4 * filters
        self.body = nn.Sequential(
            convolution(channels, filters, 1),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            convolution(filters, filters, 3, stride),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            convolution(filters, out, 1),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Identity()
        if channels != out:
            projection = convolution(channels, out, 1, stride)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out))

    def forward(self, x):
        return functional.relu(self.body(x) + self.shortcut(x))


def resnet50():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for group, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            stride = 2 if group and not block else 1
            layers.append(Bottleneck(channels, 64 << group, stride))
            channels = 256 << group
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
    return nn.Sequential(*layers, *head)


def step_of(network, dtype, batch_size):
    """Return a function that takes one step of SAM."""
    size, classes, count = FACTS[network]
    model = {"wrn16_4": wrn16_4, "resnet50": resnet50}[network]()
    model = model.to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == count
    optimizer = torch.optim.SGD(parameters, RATE, momentum=0.9, nesterov=True)
    images = torch.rand(batch_size, 3, size, size)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, classes, (batch_size,))

    @torch.compile
    def loss_of(images, labels):
        return functional.cross_entropy(model(images), labels)

    def backward():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = loss_of(images, labels)
        loss.backward()

    def step():
        backward()
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p in parameters]).norm()
            saved = [p.clone() for p in parameters]
            for p in parameters:
                p.add_(p.grad * (RHO / (norm + 1e-12)))
        backward()
        with torch.no_grad():
            for p, old in zip(parameters, saved, strict=True):
                p.copy_(old)
        optimizer.step()

    return step


def main():
    network, dtype, batch_size, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    step = step_of(network, dtype, int(batch_size))
    contender.answer(step)


if __name__ == "__main__":
    main()

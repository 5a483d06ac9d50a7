"""One contender of step.py: the same model and step in PyTorch, as its users write it.

channels_last, bfloat16 by autocast, and the usual SAM: perturb the weights in place,
second backward pass, restore the saved copy, step. Arguments: dtype rho batch threads.
"""

import sys

import torch
from torch import nn

from tests.bench import contender


class Bottleneck(nn.Module):
    def __init__(self, channels, filters, expansion, stride, project):
        super().__init__()
        out = filters * expansion
        self.shortcut = (
            nn.Conv2d(channels, out, 1, stride) if project else nn.Identity()
        )
        self.layers = nn.Sequential(
            nn.Conv2d(channels, filters, 1),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, stride, 1),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, out, 1),
            nn.BatchNorm2d(out),
        )

    def forward(self, x):
        return torch.relu(self.layers(x) + self.shortcut(x))


def resnet20():
    layers = [nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for filters, expansion, stride in ((16, 4, 1), (64, 2, 2), (128, 2, 2)):
        out = filters * expansion
        layers.append(Bottleneck(channels, filters, expansion, stride, True))
        layers.append(Bottleneck(out, filters, expansion, 1, False))
        channels = out
    head = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, *head, nn.Flatten(), nn.Linear(channels, 10))


def main():
    dtype, rho, batch_size, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    model = resnet20().to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == 571_114
    optimizer = torch.optim.Adam(parameters, 1e-3)
    images = torch.rand(int(batch_size), 3, 32, 32)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (int(batch_size),))

    def backward():
        optimizer.zero_grad()
        enabled = dtype == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()

    def step():
        backward()
        if float(rho):
            with torch.no_grad():
                norm = torch.stack([p.grad.norm() for p in parameters]).norm()
                saved = [p.clone() for p in parameters]
                for p in parameters:
                    p.add_(p.grad * (float(rho) / (norm + 1e-12)))
            backward()
            with torch.no_grad():
                for p, old in zip(parameters, saved, strict=True):
                    p.copy_(old)
        optimizer.step()

    contender.answer(step)


if __name__ == "__main__":
    main()

"""The other side of pyhessian.py, in the environment that has it. FILE batch threads.

A line 'product' multiplies the Hessian by a vector over all examples and prints its
times; 'eigenvalue' prints the largest one and how many products it took.
"""

import json
import sys
import time

import numpy as np
import torch
from pyhessian import hessian
from torch import nn

from tests.bench import step_torch


class Before(nn.Module):
    """A convolution behind padding on the far sides alone, as TensorFlow has it."""

    def __init__(self, convolution):
        super().__init__()
        self.convolution = convolution
        convolution.padding = (0, 0)

    def forward(self, x):
        return self.convolution(nn.functional.pad(x, (0, 1, 0, 1)))


def network(values):
    """Return the network of step_torch.py with the weights and statistics given."""
    model = step_torch.resnet20()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for i, layer in enumerate(convolutions):
            kernel = values[f"params/Conv_{i}/kernel"].transpose(3, 2, 0, 1)
            layer.weight.copy_(torch.from_numpy(kernel.copy()))
            layer.bias.copy_(torch.from_numpy(values[f"params/Conv_{i}/bias"]))
        for i, layer in enumerate(norms):
            layer.eps = 1e-3  # Keras'.
            for mine, name in (
                (layer.weight, f"params/BatchNorm_{i}/scale"),
                (layer.bias, f"params/BatchNorm_{i}/bias"),
                (layer.running_mean, f"stats/BatchNorm_{i}/mean"),
                (layer.running_var, f"stats/BatchNorm_{i}/var"),
            ):
                mine.copy_(torch.from_numpy(values[name]))
        head = model[-1]
        head.weight.copy_(torch.from_numpy(values["params/Dense_0/kernel"].T.copy()))
        head.bias.copy_(torch.from_numpy(values["params/Dense_0/bias"]))
    for block in model:
        if isinstance(block, step_torch.Bottleneck) and block.layers[3].stride == (
            2,
            2,
        ):
            block.layers[3] = Before(block.layers[3])
    return model.eval()


def main():
    path, batch_size, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    values = np.load(path)
    model = network(values).to(memory_format=torch.channels_last)
    images, labels = (torch.from_numpy(values[name]) for name in ("images", "labels"))
    images = images.to(memory_format=torch.channels_last)
    batches = list(
        zip(images.split(int(batch_size)), labels.split(int(batch_size)), strict=True)
    )
    criterion = nn.CrossEntropyLoss()
    tool = hessian(model, criterion, dataloader=batches, cuda=False)
    count = 0
    own = tool.dataloader_hv_product

    def product(vector):
        nonlocal count
        count += 1
        return own(vector)

    tool.dataloader_hv_product = product
    torch.manual_seed(0)
    vector = [torch.randn_like(p) for p in tool.params]
    for line in sys.stdin:
        if line.strip() == "product":
            wall, cpu = time.perf_counter(), time.process_time()
            product(vector)
            answer = time.perf_counter() - wall, time.process_time() - cpu
        else:
            count = 0
            (value,), _ = tool.eigenvalues(maxIter=100, tol=1e-3, top_n=1)
            answer = value, count
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

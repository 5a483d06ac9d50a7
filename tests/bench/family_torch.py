"""One side of family.py: the members that pytorch_optimizer has, a turn for each line.

Arguments: dtype batch threads steps compile. The model is step_torch.py's, bfloat16 is
autocast's, and loss and model are one function under torch.compile. All members train
one model. SAM's interval and window are written as users do: the optimizer that SAM
wraps takes the other steps. LookSAM takes the second gradient where it is needed; its
own `step(closure)` takes one on every step.
"""

import json
import os
import sys
import time

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import pytorch_optimizer
import torch
from torch import nn

from tests.bench.family_members import MEMBERS, turn_steps
from tests.bench.step_torch import resnet20

RHO, RATE = 0.05, 1e-3


class Gradients:
    """The closure of all optimizers: the gradient of the loss of one batch."""

    def __init__(self, dtype, batch_size, compiled):
        self.model = resnet20().to(memory_format=torch.channels_last)
        images = torch.rand(batch_size, 3, 32, 32)
        self._images = images.to(memory_format=torch.channels_last)
        self._labels = torch.randint(0, 10, (batch_size,))
        self._autocast = dtype == "bfloat16"
        self._loss = torch.compile(self._eager) if compiled else self._eager

    def _eager(self, images, labels):
        return nn.functional.cross_entropy(self.model(images), labels)

    @torch.enable_grad()
    def __call__(self):
        self.model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            loss = self._loss(self._images, self._labels)
        loss.backward()
        return loss


def plain(gradients, make):
    optimizer = make(gradients.model.parameters())

    def step(number):
        del number
        gradients()
        optimizer.step()

    return step


def wrapped(gradients, kind, is_on=lambda number: True, **options):
    """Return a step of an optimizer that wraps Adam, on the steps where it is on."""
    parameters = gradients.model.parameters()
    optimizer = kind(parameters, torch.optim.Adam, rho=RHO, lr=RATE, **options)

    def step(number):
        gradients()
        if is_on(number):
            optimizer.step(gradients)
        else:
            optimizer.base_optimizer.step()

    return step


def looksam(gradients):
    optimizer = pytorch_optimizer.LookSAM(
        gradients.model.parameters(), torch.optim.Adam, rho=RHO, k=5, lr=RATE
    )

    def step(number):
        del number
        gradients()
        if optimizer.get_step() % optimizer.k == 0:
            optimizer.first_step(zero_grad=True)
            gradients()
        optimizer.second_step()

    return step


def gsam(gradients):
    adam = torch.optim.Adam(gradients.model.parameters(), RATE)
    rho = pytorch_optimizer.ProportionScheduler(
        torch.optim.lr_scheduler.ConstantLR(adam, factor=1.0),
        max_lr=RATE,
        max_value=RHO,
        min_value=0.0,
    )
    optimizer = pytorch_optimizer.GSAM(
        gradients.model.parameters(), adam, gradients.model, rho, alpha=0.6
    )

    def step(number):
        del number
        optimizer.step(lambda: (None, gradients().detach()))
        optimizer.update_rho_t()

    return step


def wsam(gradients, *, decouple):
    optimizer = pytorch_optimizer.WSAM(
        gradients.model,
        gradients.model.parameters(),
        torch.optim.Adam,
        rho=RHO,
        decouple=decouple,
        lr=RATE,
    )
    return lambda number: optimizer.step(gradients)


SAM = pytorch_optimizer.SAM
BUILDERS = {
    "plain": lambda g: plain(g, lambda p: torch.optim.Adam(p, RATE)),
    "sam": lambda g: wrapped(g, SAM),
    "asam": lambda g: wrapped(g, SAM, adaptive=True),
    "gsam": gsam,
    "looksam": looksam,
    "interval": lambda g: wrapped(g, SAM, lambda number: number % 10 == 0),
    "window": lambda g: wrapped(g, SAM, lambda number: number % 8 == 7),
    "wsam": lambda g: wsam(g, decouple=True),
    "wsam_coupled": lambda g: wsam(g, decouple=False),
    "friendly": lambda g: wrapped(g, pytorch_optimizer.FriendlySAM),
}


def start(dtype, batch_size, wants_compile):
    """Return the gradients, and what there is to say of torch.compile."""
    if wants_compile:
        gradients = Gradients(dtype, batch_size, compiled=True)
        try:
            gradients()
            return gradients, "with torch.compile"
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            says = f"without torch.compile, which fails: {reason}"
    else:
        says = "without torch.compile"
    return Gradients(dtype, batch_size, compiled=False), says


def main():
    dtype, *numbers = sys.argv[1:]
    batch_size, threads, at_least, wants_compile = map(int, numbers)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    gradients, says = start(dtype, batch_size, wants_compile)
    says = f"PyTorch {torch.__version__}, {says}"
    names = [name for name in MEMBERS if name in BUILDERS]
    print(json.dumps({"members": names, "says": says}), flush=True)
    built = {}
    for line in sys.stdin:
        name = line.strip()
        steps = turn_steps(name, at_least)
        if name not in built:
            built[name] = BUILDERS[name](gradients)
        wall, cpu = time.perf_counter(), time.process_time()
        for number in range(steps):
            built[name](number)
        times = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps([seconds / steps for seconds in times]), flush=True)


if __name__ == "__main__":
    main()

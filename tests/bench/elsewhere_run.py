"""Time the steps of elsewhere.py through JAX, beside those of Flax and PyTorch.

python -m tests.bench.elsewhere_run DIR [--rounds=5] [--torch]

Needs jax, flax and optax, with --torch also torch and a GPU; nothing of this project
but tests/bench. JAX's contenders take turns of 30 steps on four batches that are on the
device; PyTorch, which would have to share its memory with JAX, comes last. It is not
compiled, as its users' SAM loops are not. Medians are shown.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import time

import jax
import numpy as np
from jax import export
from jax import numpy as jnp

from tests.bench import tpu_compile_flax

BLOCK = 30  # Steps of a turn.
BATCHES = 4


class Contender:
    """A step, the state that it changes, and how long its turns took."""

    def __init__(self, name, step, state, wait=jax.block_until_ready):
        self.name, self.seconds = name, []
        self._step, self._state, self._wait = step, state, wait

    def turn(self, steps=BLOCK, *, counts=True):
        start = time.perf_counter()
        for number in range(steps):
            self._state = self._step(self._state, number % BATCHES)
        self._wait(self._state)
        if counts:
            self.seconds.append((time.perf_counter() - start) / steps)

    def show(self, batch_size):
        seconds = statistics.median(self.seconds)
        rate = batch_size / seconds
        print(f"{self.name:<24}{1e3 * seconds:>10.2f} ms{rate:>14,.0f} images/s")


def exported(folder, name):
    """Return a step of DIR, compiled for this device, that returns its state."""
    shapes = json.loads((folder / f"{name}.json").read_text())
    inputs, outputs = (
        [jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype)) for shape, dtype in side]
        for side in (shapes["inputs"], shapes["outputs"])
    )

    def stand_in(*_):
        return tuple(jnp.zeros(out.shape, out.dtype) for out in outputs)

    # In JAX's own exports all but the program is right already.
    made = export.export(jax.jit(stand_in, keep_unused=True))(*inputs)
    program = (folder / f"{name}.stablehlo").read_bytes()
    call = dataclasses.replace(made, mlir_module_serialized=program).call
    state_size = len(outputs) - 1  # The last one is the step's metrics.
    compiled = (
        jax.jit(call, donate_argnums=range(state_size), keep_unused=True)
        .lower(*inputs)
        .compile()
    )
    return lambda state, images, labels: compiled(*state, images, labels)[:-1]


def ours(folder, images, labels):
    with np.load(folder / "state.npz") as stored:
        state = [stored[name] for name in stored.files]
    for path in sorted(folder.glob("*.stablehlo")):
        step = exported(folder, path.stem)
        yield Contender(
            f"ours {path.stem}",
            lambda s, i, step=step: step(s, images[i], labels[i]),
            [jax.device_put(value) for value in state],
        )


def flax(images, labels):
    for dtype in ("bfloat16", "float32"):
        for name, rho in (("SAM", 0.05), ("plain", 0.0)):
            options = {"learning_rate": 0.1, "decay_steps": 10_000, "momentum": 0.9}
            options |= {"model": "resnet20", "image_size": 32}
            options |= {"nesterov": 1, "weight_decay": 5e-4, "rho": rho, "dtype": dtype}
            init, step = tpu_compile_flax.build(argparse.Namespace(**options))
            mesh = jax.sharding.Mesh(jax.devices()[:1], (tpu_compile_flax.AXIS,))
            step = tpu_compile_flax.over_replicas(step, mesh)
            yield Contender(
                f"Flax {name} {dtype}",
                lambda s, i, step=step: step(s, images[i], labels[i])[0],
                init(),
            )


def torch_step(dtype, rho, images, labels):
    """Return the usual SAM loop's step; `step_torch` has the same for a CPU."""
    import torch

    from tests.bench import step_torch

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True  # As XLA does by itself.
    model = step_torch.resnet20().cuda().to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    options = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    optimizer = torch.optim.SGD(parameters, 0.1, **options)
    images = [torch.from_numpy(x).cuda().permute(0, 3, 1, 2) for x in images]
    labels = [torch.from_numpy(y).cuda().long() for y in labels]

    def backward(i):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = model(images[i].float() / 255)
            loss = torch.nn.functional.cross_entropy(logits, labels[i])
        loss.backward()

    def step(state, i):
        backward(i)
        if rho:
            with torch.no_grad():
                gradient = [p.grad for p in parameters]
                norm = torch.stack(torch._foreach_norm(gradient)).norm()
                saved = [p.clone() for p in parameters]
                for p in parameters:
                    p.add_(p.grad * (rho / (norm + 1e-12)))
            backward(i)
            with torch.no_grad():
                for p, old in zip(parameters, saved, strict=True):
                    p.copy_(old)
        optimizer.step()
        return state

    return step, lambda _: torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", action="store_true")
    args = parser.parse_args()
    one = json.loads((args.folder / "SAM float32.json").read_text())["inputs"]
    batch_size = one[-1][0][0]
    random = np.random.default_rng(0)
    shape = (BATCHES, batch_size, *tpu_compile_flax.IMAGE_SHAPE)
    images = random.integers(0, 256, shape, np.uint8)
    labels = random.integers(0, 10, (BATCHES, batch_size), np.int32)
    placed = [[jax.device_put(part) for part in parts] for parts in (images, labels)]
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, batch {batch_size}")
    jax.config.update("jax_enable_x64", True)  # A step has numbers of 64 bits.
    contenders = list(ours(args.folder, *placed))
    for contender in contenders:
        contender.turn(2, counts=False)  # What it returns has the types it takes.
    jax.config.update("jax_enable_x64", False)
    contenders += flax(*placed)
    for contender in contenders:
        contender.turn(counts=False)
    for _ in range(args.rounds):
        for contender in contenders:
            contender.turn()
    for dtype in ("bfloat16", "float32") if args.torch else ():
        for name, rho in (("SAM", 0.05), ("plain", 0.0)):
            step, wait = torch_step(dtype, rho, images, labels)
            contender = Contender(f"PyTorch {name} {dtype}", step, None, wait)
            contender.turn(counts=False)
            for _ in range(args.rounds):
                contender.turn()
            contenders.append(contender)
    for contender in contenders:
        contender.show(batch_size)


if __name__ == "__main__":
    main()

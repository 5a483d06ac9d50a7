"""Whether the two sides of tpu_compile.py compute the same."""

import math

from tests.bench import tpu_compile_ours as ours
from tests.bench import tpu_compile_theirs as theirs

# What is compared: (steps, how far apart the sides may be, as a part of how far
# they moved). float64 shows that both compute the same; float32 that the forward pass
# does so with fused operations, too. Its gradient cannot be held to much: after two
# steps JAX's own float32 was 1.5e-2 from its float64, and ours 6.3e-2.
BOUNDS = {
    "float64": (2, {"params": 1e-6, "stats": 1e-6, "velocity": 1e-6, "report": 1e-6}),
    "float32": (1, {"params": 0.1, "stats": 1e-5}),
}


def check(python, rhos):
    """Return 1 unless both sides compute the same, and say how far they are apart.

    Args:
        python: Has JAX and Flax.
        rhos: By the name of a step.
    """
    import numpy as np
    import tensorflow as tf

    most_steps, num_replicas, batch_size = 2, 2, 8
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * num_replicas,
    )
    rng = np.random.default_rng(0)
    shape = (most_steps, num_replicas * batch_size)
    images = rng.integers(0, 256, (*shape, *ours.IMAGE_SHAPE), dtype=np.uint8)
    labels = rng.integers(0, ours.NUM_CLASSES, shape).astype(np.int32)
    print(f"{'step':<16}{'steps':>5}  {'what':<10}{'apart/moved':>12}{'at most':>10}")
    failed = False
    for step, rho in rhos.items():
        for dtype, (num_steps, bounds) in BOUNDS.items():
            recipe = ours.build_recipe(dtype, rho)
            start = ours.start_of(recipe.network)
            given = start | {"images": images[:num_steps], "labels": labels[:num_steps]}
            mine = ours.run(recipe, given["images"], given["labels"], num_replicas)
            other = theirs.run(python, given, dtype, rho, num_replicas)
            assert mine.keys() == other.keys(), mine.keys() ^ other.keys()
            for kind, bound in bounds.items():
                names = [name for name in mine if name.startswith(kind)]
                apart = norm([mine[name] - other[name] for name in names])
                apart /= norm([other[name] - start.get(name, 0.0) for name in names])
                wrong = not apart <= bound
                failed |= wrong
                print(
                    f"{step + ' ' + dtype:<16}{num_steps:>5}  {kind:<10}{apart:>12.1e}"
                    f"{bound:>10.0e}{'  FAILED' if wrong else ''}",
                    flush=True,
                )
    return int(failed)


def norm(arrays):
    return math.sqrt(sum(float((a.astype("float64") ** 2).sum()) for a in arrays))

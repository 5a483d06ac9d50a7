"""The other side of tpu_compile.py, called in the environment that has JAX and Flax."""

import os
import pathlib
import subprocess
import tempfile

from tests.bench import tpu_compile_ours as ours

ROOT = pathlib.Path(__file__).parent.parent.parent


def has_flax(python):
    run = subprocess.run(
        [python, "-c", "import flax, jax; jax.shard_map"],
        capture_output=True,
        check=False,
    )
    return run.returncode == 0


def call(python, command, files, dtype, rho, num_replicas, **options):
    """Run a command of tpu_compile_flax.py in its environment."""
    options |= {
        "replicas": num_replicas,
        "dtype": dtype,
        "rho": rho,
        "weight_decay": ours.WEIGHT_DECAY,
        "learning_rate": ours.LEARNING_RATE,
        "decay_steps": ours.DECAY_STEPS,
        "momentum": ours.MOMENTUM,
        "nesterov": int(ours.NESTEROV),
    }
    devices = f"--xla_force_host_platform_device_count={num_replicas}"
    run = subprocess.run(
        [
            *(python, "-m", "tests.bench.tpu_compile_flax", command, *files),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": devices},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"JAX's side failed:\n{run.stderr}")


def lower(python, model, dtype, rho, num_replicas, batch_size):
    """Return the step of one replica as StableHLO that our jaxlib reads, to compile."""
    from jaxlib.mlir.dialects import stablehlo

    from sam_pod.preflight import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "step.mlirbc"
        call(
            *(python, "lower", [path], dtype, rho, num_replicas),
            model=model,
            image_size=ours.MODELS[model][0],
            num_classes=ours.MODELS[model][1],
            batch_size=batch_size,
            stablehlo=stablehlo.get_current_version(),
        )
        return compiler.Foreign(path.read_bytes(), num_replicas)


def run(python, given, dtype, rho, num_replicas):
    """Return what JAX's side has after steps on the CPU: see `tpu_compile_ours.run`."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        files = pathlib.Path(folder) / "given.npz", pathlib.Path(folder) / "out.npz"
        np.savez(files[0], **given)
        call(python, "run", files, dtype, rho, num_replicas)
        with np.load(files[1]) as arrays:
            return dict(arrays)

"""Another runtime: what an exported folder is to JAX, NumPy and the json module.

Nothing of sam_pod is imported here.
"""

import json
import pathlib

import jax
import numpy as np
from jax.experimental import enable_x64
from jaxlib import xla_client, xla_extension


class Program:
    """A program of an exported folder, compiled for virtual devices of the CPU."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        manifest = json.loads((self.folder / "manifest.json").read_text())
        self.interface = manifest["programs"][name]
        count = self.interface["replicas"]
        self.devices = jax.devices("cpu")[:count]
        options = xla_client.CompileOptions()
        options.num_replicas = count
        options.device_assignment = xla_client.DeviceAssignment.create(
            np.arange(count).reshape(count, 1)
        )
        artifact = (self.folder / self.interface["file"]).read_bytes()
        module = xla_extension.mlir.deserialize_portable_artifact(artifact)
        self._compiled = self.devices[0].client.compile(module, options)

    def values(self):
        """Return the inputs that values.npz has, in order."""
        with np.load(self.folder / "values.npz") as stored:
            return [
                stored[tensor["value"]]
                for tensor in self.interface["inputs"]
                if "value" in tensor
            ]

    def put(self, arrays):
        """Return buffers: for each input one array per replica, all alike."""
        return self.put_each([[array] * len(self.devices) for array in arrays])

    def put_each(self, per_input):
        """Return buffers of one array per replica for each input."""
        with enable_x64():
            return [
                [jax.device_put(x, d) for x, d in zip(xs, self.devices, strict=True)]
                for xs in per_input
            ]

    def __call__(self, buffers):
        """Return for each output a buffer per replica; donated inputs are gone."""
        with enable_x64():
            outputs = self._compiled.execute_sharded(buffers)
            return outputs.disassemble_into_single_device_arrays()


def train(folder, batches):
    """Take one step for each global batch; return the replicas' states by name.

    Rows are dealt out consecutively.
    """
    program = Program(folder, "train_step")
    count = len(program.devices)
    state = program.put(program.values())
    numbers = [[np.int32(r) for r in range(count)]] if count > 1 else []
    for images, labels in batches:
        shares = [np.split(images, count), np.split(labels, count)]
        outputs = program([*state, *program.put_each([*numbers, *shares])])
        assert all(buffer.is_deleted() for copies in state for buffer in copies)
        state = outputs[: len(state)]
    names = [tensor["name"] for tensor in program.interface["outputs"]]
    return [
        {
            name: np.asarray(copies[r])
            for name, copies in zip(names, state, strict=False)
        }
        for r in range(count)
    ]


def infer(folder, images):
    """Return the logits of a batch of exactly the program's size."""
    program = Program(folder, "inference")
    ((logits,),) = program([*program.put(program.values()), *program.put([images])])
    return np.asarray(logits)

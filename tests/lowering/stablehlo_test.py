"""StableHLO: donated inputs share their buffers, and files are read back."""

import re

import jax
import numpy as np
import pytest
import tensorflow as tf
from jaxlib.mlir.dialects import stablehlo as dialect

from sam_pod.lowering import private, programs, stablehlo
from tests import fixtures

BATCH = 4


@pytest.fixture(scope="module")
def recipe():
    return fixtures.small_recipe(fixtures.small_model())


@pytest.fixture(scope="module")
def program(recipe):
    return programs.train_step(
        recipe, (6, 6, 3), num_replicas=1, per_replica_batch_size=BATCH
    )


def run(bytecode, recipe):
    """Compile and take one step; return (inputs, outputs), as JAX's arrays."""
    device = jax.devices("cpu")[0]
    options = private.COMPILE_OPTIONS.get()(
        num_replicas=1, num_partitions=1, device_assignment=np.zeros((1, 1), int)
    )
    ((images, labels),) = fixtures.batches(1, BATCH)
    # jax 0.10.2 has another name for it, and compiles for devices that are given.
    is_old = not hasattr(jax, "enable_x64")
    with jax.experimental.enable_x64() if is_old else jax.enable_x64(True):
        compiled = _loaded(device, bytecode, options, is_old)
        inputs = [
            # Copies: JAX may use NumPy's own memory, which cannot be given away.
            jax.device_put(np.array(value), device) + np.zeros((), value.dtype)
            for value in [
                *map(np.asarray, tf.nest.flatten(programs.initial_values(recipe))),
                images,
                labels,
            ]
        ]
        outputs = compiled.execute_sharded([[x] if is_old else x for x in inputs])
        arrays = outputs.disassemble_into_single_device_arrays()
    return inputs, [array[0] for array in arrays]


def _loaded(device, bytecode, options, is_old):
    if is_old:
        return device.client.compile(bytecode, options)
    devices = jax.sharding.SingleDeviceSharding(device)._internal_device_list
    return device.client.compile_and_load(bytecode, devices, options)


def test_donated_inputs_are_gone_and_their_buffers_are_the_outputs(program, recipe):
    donating = stablehlo.bytecode(program.hlo, program.aliases)
    inputs, outputs = run(donating, recipe)
    donated = {i for i, _ in program.aliases}
    for i, array in enumerate(inputs):
        assert array.is_deleted() == (i in donated), program.inputs[i]
    kept, expected = run(stablehlo.bytecode(program.hlo), recipe)
    assert not any(array.is_deleted() for array in kept)
    for mine, other in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_pair_aliases_the_output_it_names(program):
    """The third input with the seventh output, whatever their sizes."""
    with private.MLIR_CONTEXT.get()():
        module = stablehlo._module(program.hlo, {2: 6})
        main = re.search(r"@main\((.*?)\) -> ", str(module), re.DOTALL)[1]
    attributes = re.findall(r"%arg(\d+): [^%]*?tf\.aliasing_output = (\d+)", main)
    assert attributes == [("2", "6")]


def test_a_portable_artifact_reads_back_as_the_same_program(program, recipe):
    artifact = stablehlo.portable(program.hlo, program.aliases)
    assert b"StableHLO_v1.0.0" in artifact[:40]
    with private.MLIR_CONTEXT.get()() as context:
        module = dialect.deserialize_portable_artifact(context, artifact)
        bytecode = private.MLIR_BYTECODE.get()(module)
    inputs, outputs = run(bytecode, recipe)
    assert inputs[1].is_deleted()  # Donation is in it.
    _, expected = run(stablehlo.bytecode(program.hlo), recipe)
    for mine, other in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_no_path_of_this_machine_is_in_what_is_given_away(program):
    for content in (
        stablehlo.portable(program.hlo, program.aliases),
        stablehlo.bytecode(program.hlo),
    ):
        assert b"site-packages" not in content
        assert b"/home/" not in content and b"/tensorflow/" not in content

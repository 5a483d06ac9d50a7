"""What a program keeps in memory, against the compiler's figures and by hand."""

import dataclasses

import keras
import pytest

from sam_pod.models import network
from sam_pod.preflight import hlo, memory
from tests import fixtures
from tests.preflight import steps
from tests.preflight.programs import needs_libtpu

SCHEDULE = """HloModule m, is_scheduled=true

%body (arg: f32[128]) -> f32[128] {
  %arg = f32[128]{0:T(128)} parameter(0)
  %large = f32[1024]{0:T(128)} sine(f32[128] %arg)
  ROOT %twice = f32[128]{0:T(128)} add(f32[128] %arg, f32[1024] %large)
}

ENTRY %main (p0: f32[1024]) -> f32[1024] {
  %p0 = f32[1024]{0:T(128)} parameter(0)
  %act = f32[1024]{0:T(128)} exponential(f32[1024] %p0), metadata={op_name="a"}
  %vmem = f32[512]{0:T(128)S(1)} negate(f32[512] %p0), metadata={op_name="b"}
  %view = f32[32,32]{1,0} bitcast(f32[1024] %act)
  %tmp = f32[256]{0:T(128)} sine(f32[32,32] %view), metadata={op_name="c"}
LOOP  %g = f32[128]{0:T(128)} multiply(f32[256] %tmp, f32[32,32] %view), metadata={op_name="gradient_tape/a"}
  ROOT %out = f32[1024]{0:T(128)} add(f32[128] %g, f32[512] %vmem)
}
"""  # noqa: E501
WHILE = "  %w = f32[128]{0:T(128)} while(f32[256] %tmp), condition=%c, body=%body\n"


def at_peak(loop=""):
    figures = dict.fromkeys(
        ("argument_bytes", "output_bytes", "alias_bytes", "code_bytes"), 0
    )
    module = hlo.parse(SCHEDULE.replace("LOOP", loop))
    program = dataclasses.replace(steps.lower(steps.small()), inputs=(TENSOR,))
    found = memory.share(program, {**figures, "temporary_bytes": 6656}, module)
    return found.activations, found.temporaries


TENSOR = steps.programs.Tensor("p0", "weights", (1024,), "float32")


def test_activations_are_what_is_made_before_the_gradient_and_used_in_it():
    # At %g there are %act, through its view, and %tmp, which %g uses as well, and %g
    # itself; %vmem is in another memory.
    activations, temporaries = at_peak()
    assert activations == round(6656 * (4096 + 1024) / (4096 + 1024 + 512))
    assert activations + temporaries == 6656


def test_a_loop_s_own_values_live_beside_what_is_kept():
    # In the loop %large of 4096 bytes and %twice of 512.
    activations, _ = at_peak(WHILE)
    assert activations == round(6656 * 5120 / (5120 + 4096 + 512))


@needs_libtpu
@pytest.mark.parametrize("build", [steps.sam_step, steps.plain_step])
def test_shares_add_up_to_what_the_compiler_reports(build):
    measured = build()
    figures, share = measured.figures, measured.share
    assert share.total == (
        figures["argument_bytes"]
        + figures["output_bytes"]
        - figures["alias_bytes"]
        + figures["temporary_bytes"]
        + figures["code_bytes"]
    )
    # Kernels of 3 x 3 x 3 x 4 and 4 x 5 and three vectors, each in tiles of 512 bytes
    # a row or of 4 x 128.
    assert share.weights == share.slots == 9 * 2048 + 2048 + 3 * 512
    assert share.statistics == 2 * 512
    assert share.temporaries + share.activations == figures["temporary_bytes"]
    assert 0 < share.batch < 30_000


@needs_libtpu
def test_parameters_take_what_their_tiles_do():
    measured = steps.sam_step()
    entry = measured.module.computations[measured.module.entry]
    parameters = [i for i in entry if i.opcode == "parameter"]
    assert len(parameters) == len(measured.program.inputs)
    padded = sum(i.shapes[0].padded_bytes for i in parameters)
    assert padded == measured.figures["argument_bytes"]


@needs_libtpu
@pytest.mark.slow
def test_activations_grow_with_the_batch_and_the_depth_and_are_none_in_evaluation():
    def activations(depth, batch, **kwargs):
        keras.utils.set_random_seed(0)
        images = keras.Input(steps.SHAPE)
        x = keras.layers.Flatten()(images)
        for _ in range(depth):
            x = keras.layers.Dense(2048, activation="sigmoid")(x)
        model = keras.Model(images, keras.layers.Dense(5)(x))
        recipe = fixtures.small_recipe(network.Network(model), rho=0.0)
        share = steps.compiled(steps.lower(recipe, batch=batch, **kwargs)).share
        return share.activations

    unit = 2**14 * 2048 * 4  # Bytes of one layer's.
    shallow, twice_of_two = activations(1, 2**14), activations(2, 2**15)
    # Some of the smaller one's may be in the memory beside the cores.
    assert 0.95 <= twice_of_two / (2 * (shallow + unit)) <= 1.15
    assert activations(1, 2**12, evaluation=True) == 0


TRAFFIC = """HloModule traffic, is_scheduled=true

%body (p: (f32[1024])) -> (f32[1024]) {
  %p = (f32[1024]{0:T(1024)}) parameter(0)
  %x = f32[1024]{0:T(1024)} get-tuple-element(%p), index=0
  %double = f32[1024]{0:T(1024)} add(%x, %x)
  ROOT %out = (f32[1024]{0:T(1024)}) tuple(%double)
}

ENTRY %main (a: f32[1024]) -> f32[1024] {
  %a = f32[1024]{0:T(1024)} parameter(0)
  %near = f32[1024]{0:T(1024)S(1)} copy(%a)
  %more = f32[1024]{0:T(1024)S(1)} negate(%near)
  %cs = (f32[1024]{0:T(1024)}, f32[1024]{0:T(1024)S(1)}, u32[]{:S(2)}) copy-start(%more)
  %far = f32[1024]{0:T(1024)} copy-done(%cs)
  %ss = ((f32[1024]{0:T(1024)}), f32[256]{0:T(256)S(1)}, s32[]{:S(2)}) slice-start(%far)
  %part = f32[256]{0:T(256)S(1)} slice-done(%ss)
  %t = (f32[1024]{0:T(1024)}) tuple(%far)
  %loop = (f32[1024]{0:T(1024)}) while(%t), condition=%never, body=%body
  ROOT %result = f32[1024]{0:T(1024)} get-tuple-element(%loop), index=0
}
"""


def test_traffic_is_what_crosses_the_large_memory_alone():
    module = hlo.parse(TRAFFIC)
    read = 4096 + 1024  # The parameter, and the slice of what was moved out.
    written = 4096  # What was moved out.
    body = 3 * 4096  # Twice read, once written; counted once.
    assert memory.hbm_traffic(module) == read + written + body

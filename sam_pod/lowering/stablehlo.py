"""A lowered program as StableHLO: the form that other compilers and runtimes take."""

import re
from collections.abc import Iterable
from typing import Any

from sam_pod.lowering import private


def bytecode(hlo: bytes, aliases: Iterable[tuple[int, int]] = ()) -> bytes:
    """Return a serialized HLO module as MLIR's bytecode of StableHLO.

    Args:
        hlo: The HLO of a program, such as `programs.Program.hlo`.
        aliases: The (input, output) pairs that share one buffer: the input is donated.
    """
    with private.MLIR_CONTEXT.get()():
        return private.MLIR_BYTECODE.get()(_module(hlo, dict(aliases)))


def portable(
    hlo: bytes,
    aliases: Iterable[tuple[int, int]],
    version: str = "1.0.0",
    *,
    among_partitions: bool = False,
) -> bytes:
    """Return StableHLO that compilers of `version` and newer read, for many years.

    Args:
        hlo: As `bytecode` takes it.
        aliases: As `bytecode` takes them.
        version: The oldest version of StableHLO that reads it.
        among_partitions: Whether the replicas are partitions of one program, as the
            devices of JAX's are.
    """
    with private.MLIR_CONTEXT.get()():
        module = _module(hlo, dict(aliases))
        if among_partitions:
            _reduce_among_partitions(module)
        return private.SERIALIZE_STABLEHLO.get()(
            private.MLIR_BYTECODE.get()(module), version
        )


def _module(hlo: bytes, outputs: dict[int, int]) -> Any:
    text = private.TO_STABLEHLO.get()(private.XLA_COMPUTATION.get()(hlo))
    text = text.decode() if isinstance(text, bytes) else text
    # Compilers refuse a copy of this dialect, which is no operation at all here.
    text = re.sub(
        r"= mhlo\.copy (%[\w#]+) : (tensor<[^>]*>)",
        r"= stablehlo.reshape \1 : (\2) -> \2",
        text,
    )
    # The place of TensorFlow on this machine is nobody else's concern.
    text = re.sub(r'loc\("/[^"]*/(?=[^"/]+":\d)', 'loc("', text)
    module = private.MLIR_MODULE.get().parse(text)
    main = next(op for op in module.body.operations if op.name.value == "main")
    _return_many(main)
    _donate(main, outputs)
    return module


def _return_many(main: Any) -> None:
    """Let the function return its outputs, which XLA packs in a tuple."""
    ir, func = private.MLIR_IR.get(), private.MLIR_FUNC.get()
    block = main.regions[0].blocks[0]
    old = list(block.operations)[-1]
    packed = old.operands[0].owner
    if packed.name != "stablehlo.tuple":
        return
    outputs = list(packed.operands)
    old.erase()
    packed.operation.erase()
    with ir.InsertionPoint(block), ir.Location.unknown():
        func.ReturnOp(outputs)
        inputs = [argument.type for argument in block.arguments]
        kind = ir.FunctionType.get(inputs, [output.type for output in outputs])
        main.attributes["function_type"] = ir.TypeAttr.get(kind)


def _donate(main: Any, outputs: dict[int, int]) -> None:
    ir = private.MLIR_IR.get()
    integer = ir.IntegerType.get_signless(32)
    main.attributes["arg_attrs"] = ir.ArrayAttr.get(
        [
            ir.DictAttr.get(
                {"tf.aliasing_output": ir.IntegerAttr.get(integer, outputs[i])}
                if i in outputs
                else {}
            )
            for i in range(len(main.regions[0].blocks[0].arguments))
        ]
    )


def _reduce_among_partitions(module: Any) -> None:
    """Have each all-reduce count partitions: it gets a channel, a number of its own."""
    ir = private.MLIR_IR.get()
    found = []

    def look(operation: Any) -> Any:
        if operation.name == "stablehlo.all_reduce":
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(look)
    for number, operation in enumerate(found, start=1):
        operation.attributes["channel_handle"] = ir.Attribute.parse(
            f"#stablehlo.channel_handle<handle = {number}, type = 1>"
        )
        operation.attributes["use_global_device_ids"] = ir.UnitAttr.get()

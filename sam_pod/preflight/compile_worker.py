"""Compile one program for a TPU topology, in a process of its own.

python -m sam_pod.preflight.compile_worker FOLDER

The folder holds `program` and `request.json`; `compiled.txt` and `result.json`
are written there. libtpu ends the process on some errors and keeps its memory, so each
compile has its own. It also ends when its standard input does, that is with its parent.
"""

import contextlib
import json
import os
import pathlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from sam_pod.lowering import private


def main(folder: pathlib.Path) -> None:
    """Compile the program in the folder, and write the result."""
    request = json.loads((folder / "request.json").read_text())
    compiler = private.TOPOLOGY.get()
    try:
        devices = compiler(
            platform="tpu", topology_name=request["topology"], **request["options"]
        ).devices
    except (RuntimeError, ValueError) as error:  # No fault of the program.
        told = {"error": str(error), "is_passing": True, "unknown_topology": True}
        return _write(folder, told)
    compile_ = _compile_jitted if "inputs" in request else _compile
    try:
        result = compile_(folder, request, devices[: request["num_replicas"]])
    except private.Moved:
        raise
    except (RuntimeError, ValueError) as error:  # XLA's errors.
        result = {"error": str(error)}
    _write(folder, result)


def _write(folder: pathlib.Path, result: dict) -> None:
    partial = folder / "result.partial"
    partial.write_text(json.dumps(result))
    partial.replace(folder / "result.json")  # All of it, or nothing.


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _compile(folder: pathlib.Path, request: dict, devices: list) -> dict:
    del request
    program = (folder / "program").read_bytes()
    options = private.COMPILE_OPTIONS.get()(
        num_replicas=len(devices),
        num_partitions=1,
        device_assignment=np.array([d.id for d in devices]).reshape(-1, 1),
    )
    with _timed() as seconds:
        compiled = devices[0].client.compile(program, options)
    (folder / "compiled.txt").write_text(compiled.hlo_modules()[0].to_string())
    costs, memory = compiled.cost_analysis(), compiled.get_compiled_memory_stats()
    costs = costs[0] if isinstance(costs, list) else costs
    return {**seconds, **_figures(devices, costs, memory)}


def _compile_jitted(folder: pathlib.Path, request: dict, devices: list) -> dict:
    from sam_pod.lowering.programs import Program, Tensor  # Imports TensorFlow.
    from sam_pod.preflight import jitted

    inputs, outputs = (
        tuple(Tensor(name, role, tuple(shape), dtype) for name, role, shape, dtype in x)
        for x in (request["inputs"], request["outputs"])
    )
    aliases = tuple(map(tuple, request["aliases"]))
    hlo = (folder / "program").read_bytes()
    program = Program(hlo, inputs, outputs, aliases, len(devices), (), 0.0, None)
    with _timed() as seconds:
        compiled = jitted.compiled(program, devices)
    costs, memory = compiled.cost_analysis(), compiled.memory_analysis()
    found = {**seconds, **_figures(devices, costs, memory)}
    try:
        (folder / "compiled.txt").write_text(compiled.as_text())
    except (RuntimeError, ValueError) as error:
        # A jaxlib older than the compiler does not read all that it writes.
        found["unreadable"] = str(error)
    return found


@contextlib.contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Yield a dict that has the seconds of what is inside, once it is done."""
    wall, cpu = time.monotonic(), time.process_time()
    found: dict[str, float] = {}
    yield found
    found["seconds"] = time.monotonic() - wall
    found["cpu_seconds"] = time.process_time() - cpu


def _figures(devices: list, costs: dict, memory: Any) -> dict:
    return {
        "device_kind": devices[0].device_kind,
        "flops": costs["flops"],
        "bytes_accessed": costs["bytes accessed"],
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "code_bytes": memory.generated_code_size_in_bytes,
    }


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    main(pathlib.Path(sys.argv[1]))

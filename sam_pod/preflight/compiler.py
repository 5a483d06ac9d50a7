"""Compile programs with the real TPU compiler, each in a process, and remember them.

libtpu compiles ahead of time for any topology and needs no TPU. A compile is cached by
the digest of its HLO, the topology and the compiler's version.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from sam_pod import errors
from sam_pod.lowering import private, stablehlo
from sam_pod.lowering.programs import Program
from sam_pod.preflight import remembered
from sam_pod.preflight.libtpu import version
from sam_pod.preflight.remembered import Compiled
from sam_pod.preflight.topologies import Topology
from sam_pod.storage import faults

# libtpu must neither ask a metadata server where it is nor hold its lock on the chips.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "JAX_PLATFORMS": "cpu",
}
# Several compiles at once; a user who sets it to 0 gets libtpu's lock on the machine.
_SHARES_LIBRARY = "ALLOW_MULTIPLE_LIBTPU_LOAD"
_POLL_SECONDS = 0.2
# libtpu 0.0.7's words when another process holds its lock, or did and is gone.
_LOCKED = re.compile(r"lockfile|libtpu.* already in use", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Foreign:
    """One replica's program that was not lowered by TensorFlow."""

    stablehlo: bytes
    num_replicas: int


@dataclasses.dataclass(frozen=True)
class Job:
    """A program to compile for a topology."""

    name: str  # For people, such as 'SAM step for v5e:4x4'.
    program: Program | Foreign
    topology: Topology
    # Whether it is compiled as JAX runs it, all replicas being one program.
    by_jax: bool = False


def digest(job: Job) -> str:
    """Return what names a compile: its HLO, topology and the compiler's version."""
    program, aliases = job.program, ()
    if isinstance(program, Foreign):
        content = program.stablehlo
    else:
        content, aliases = _text(program).encode(), program.aliases
    rest = [
        aliases,
        program.num_replicas,
        job.topology.compiler_name,
        job.topology.compiler_options,
        version(job.by_jax),
        *(["jitted"] if job.by_jax else []),
    ]
    return hashlib.sha256(content + json.dumps(rest).encode()).hexdigest()


def _text(program: Program) -> str:
    """Return a program without the names and source lines in it.

    They count the layers made and the functions traced before.
    """
    text = private.XLA_COMPUTATION.get()(program.hlo).as_hlo_text(True)
    text = re.sub(r", metadata=\{[^}]*\}", "", text)
    names: dict[str, str] = {}
    return re.sub(
        r"\b[A-Za-z_][\w\-]*\.\d+\b",
        lambda name: names.setdefault(name[0], f"%{len(names)}"),
        text,
    )


def compile_all(
    jobs: Sequence[Job],
    *,
    num_processes: int,
    progress: Callable[[str], None],
    cache: pathlib.Path | None = None,
) -> list[Compiled]:
    """Return what each job compiles to, in their order.

    Args:
        jobs: The programs to compile.
        num_processes: The number of compiles at once.
        progress: A function called with lines about the progress.
        cache: The folder of the cache; None for the usual one.

    Raises:
        UserError: there is no compiler, or another process holds its lock.
    """
    cache = cache or remembered.folder()
    if os.environ.get(_SHARES_LIBRARY) == "0":
        num_processes = 1  # Ours would lock each other out.
    keys = [digest(job) for job in jobs]
    results = {key: found for key in keys if (found := remembered.read(cache, key))}
    pending = {k: job for k, job in zip(keys, jobs, strict=True) if k not in results}
    running: list[_Running] = []
    try:
        while pending or running:
            while pending and len(running) < num_processes:
                key = next(iter(pending))
                running.append(_Running(key, pending.pop(key)))
            for process in [r for r in running if r.is_done()]:
                running.remove(process)
                results[process.key] = process.result()
                with contextlib.suppress(OSError):  # It only saves time.
                    remembered.write(cache, process.key, results[process.key])
                progress(f"{process.job.name}: {process.seconds():.0f} s")
            if running:
                names = ", ".join(r.job.name for r in running)
                seconds = max(r.seconds() for r in running)
                left = f", {len(pending)} more wait" if pending else ""
                progress(f"Compiling {names}: {seconds:.0f} s{left} ...")
                time.sleep(_POLL_SECONDS)
    finally:
        for process in running:
            process.stop()
    return [results[key] for key in keys]


class _Running:
    """One compile in its process."""

    def __init__(self, key: str, job: Job) -> None:
        self.key, self.job = key, job
        self._started = time.monotonic()
        with faults.explained(tempfile.gettempdir()):
            self._folder = pathlib.Path(tempfile.mkdtemp(prefix="sam_pod_compile_"))
            self._ask()
        root = str(pathlib.Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        environment = {
            **os.environ,
            **_ENVIRONMENT,
            _SHARES_LIBRARY: os.environ.get(_SHARES_LIBRARY, "1"),
            "TPU_LIBRARY_PATH": _library(),
            "PYTHONPATH": path,
        }
        with open(self._folder / "log.txt", "wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "sam_pod.preflight.compile_worker",
                    self._folder,
                ],
                env=environment,
                stdin=subprocess.PIPE,  # It ends when this end is closed.
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _ask(self) -> None:
        """Write the worker's task."""
        program, topology = self.job.program, self.job.topology
        request = {
            "topology": topology.compiler_name,
            "options": topology.compiler_options,
            "num_replicas": program.num_replicas,
        }
        if isinstance(program, Foreign):
            content = program.stablehlo
        elif self.job.by_jax:
            content = program.hlo
            request |= {
                "inputs": [dataclasses.astuple(t) for t in program.inputs],
                "outputs": [dataclasses.astuple(t) for t in program.outputs],
                "aliases": program.aliases,
            }
        else:
            content = stablehlo.bytecode(program.hlo, program.aliases)
        (self._folder / "program").write_bytes(content)
        (self._folder / "request.json").write_text(json.dumps(request))

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def is_done(self) -> bool:
        return self._process.poll() is not None

    def result(self) -> Compiled:
        """Return what it wrote, and delete its folder.

        Raises:
            UserError: another process holds libtpu's lock, or libtpu does not know the
                topology.
        """
        try:
            log = (self._folder / "log.txt").read_text(errors="replace")
            figures = self._figures(log)
            if "error" in figures and _LOCKED.search(figures["error"]):
                raise errors.UserError(
                    "Another process holds the TPU compiler's lock; wait until it is "
                    f"done, or set {_SHARES_LIBRARY}=1. If there is none, delete the "
                    "libtpu_lockfile that it left in the folder for temporary files."
                )
            if "unknown_topology" in figures:
                reason = " ".join(figures["error"].split())[:200]
                raise errors.UserError(
                    f"libtpu {version(self.job.by_jax)} does not compile for "
                    f"{self.job.topology.name} ({reason}): take another topology."
                )
            compiled = self._folder / "compiled.txt"
            text = compiled.read_text() if compiled.exists() else ""
            return Compiled(figures, "" if "error" in figures else text)
        finally:
            self._delete()

    def _figures(self, log: str) -> dict:
        if (self._folder / "result.json").exists():
            return json.loads((self._folder / "result.json").read_text())
        code = self._process.returncode
        if code == -signal.SIGKILL:
            how = "was killed, for want of memory perhaps: --jobs=1 takes less"
        else:
            how = f"died ({code})"
        last = (log.strip().splitlines() or ["it said nothing"])[-1]
        return {"error": f"the compiler {how}: {last}", "is_passing": True}

    def _delete(self) -> None:
        self._process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._delete()


def _library() -> str:
    folder = importlib.util.find_spec("libtpu").submodule_search_locations[0]
    return os.path.join(folder, "libtpu.so")

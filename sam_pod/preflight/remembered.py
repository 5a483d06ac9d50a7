"""Compiles that are remembered, in files of this user's cache."""

import dataclasses
import gzip
import json
import os
import pathlib
import zlib


@dataclasses.dataclass(frozen=True)
class Compiled:
    """The compiler's result for a job, or its complaint."""

    figures: dict  # As written by compile_worker.
    text: str  # The compiled program.
    is_cached: bool = False

    @property
    def error(self) -> str:
        """Return the compiler's complaint, '' when there is none."""
        return self.figures.get("error", "")


def folder() -> pathlib.Path:
    """Return where compiles are remembered."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "sam_pod" / "compiled"


def read(cache: pathlib.Path, key: str) -> Compiled | None:
    """Return what was remembered under a digest; None where nothing can be read."""
    try:
        with gzip.open(cache / f"{key}.json.gz", "rt") as file:
            entry = json.load(file)
        return Compiled(entry["figures"], entry["text"], is_cached=True)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
        return None  # Not there, or damaged: compile it again.


def write(cache: pathlib.Path, key: str, compiled: Compiled) -> None:
    """Remember a compile under a digest, whole or not at all."""
    if compiled.figures.get("is_passing"):
        return  # It is of this machine and this moment, not of the program.
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f".{key}.{os.getpid()}"
    entry = {"figures": compiled.figures, "text": compiled.text}
    try:
        with gzip.open(partial, "wt") as file:
            json.dump(entry, file)
        partial.replace(cache / f"{key}.json.gz")
    finally:
        partial.unlink(missing_ok=True)

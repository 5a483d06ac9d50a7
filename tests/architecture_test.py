"""The house: imports point down, flags and config stay where they belong."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "sam_pod"
FLOORS = {
    "errors": 0,
    "exhaustion": 0,
    "keras_settings": 0,
    "proxies": 0,
    "surroundings": 4,
    "checkpoint_folder": 0,
    "spread": 0,
    "workdir": 2,
    "continuing": 3,
    "cluster": 0,
    "config": 0,
    "files": 0,
    "first_keys": 0,
    "groups": 0,
    "model_copy": 0,
    "model_file": 0,
    "new_folder": 0,
    "own_code": 0,
    "path_flags": 0,
    "redaction": 0,
    "objects": 0,
    "remote_folder": 0,
    "retries": 0,
    "storage": 0,
    "tracing": 0,
    "turns": 0,
    "rules": 1,
    "augmentation": 2,
    "interrupts": 0,
    "dataset": 2,
    "workers": 2,
    "runtime": 3,
    "identity": 3,
    "recipe": 2,
    "metrics": 2,
    "state": 2,
    "passes": 3,
    "result": 3,
    "event_files": 3,
    "inputs": 4,
    "writers": 4,
    "step": 4,
    "contact_sheet": 4,
    "input_range": 4,
    "session": 5,
    "lowering": 5,
    "train": 6,
    "export": 6,
    "main": 7,
    "preflight": 8,  # Its command takes the flags of main's.
}  # Everything else is on floor 1, where a file imports its own subpackage at most.
# What other files of floor 0 stand on.
CELLAR = (
    "errors",
    "files",
    "first_keys",
    "model_copy",
    "model_file",
    "objects",
    "own_code",
    "path_flags",
    "redaction",
    "remote_folder",
    "retries",
    "storage",
    "turns",
)
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def floor(module):
    return FLOORS.get(module.split(".")[0], 1)


def imports(path):
    """Return the modules of this package that a file imports, as 'data.pipeline'."""
    modules = {module_name(p).removesuffix(".__init__") for p in SOURCES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "sam_pod"
        ):
            base = node.module.removeprefix("sam_pod").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield full if full in modules else base


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_down(path):
    here = module_name(path)
    for module in imports(path):
        inside = module.split(".")[0] == here.split(".")[0] and "." in here
        cellar = module in CELLAR
        assert floor(module) < floor(here) or inside or cellar, (
            f"{here} imports {module}"
        )


def names_used(path):
    return {
        node.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name)
    }


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_flags_are_read_by_commands_alone(path):
    commands = (
        "main",
        "command",
        "data.inspect",
        "data.prepare",
        "data.prepare_flags",
        "export.__main__",
        "path_flags",
        "preflight.__main__",
    )
    if module_name(path) not in commands:
        assert "flags" not in names_used(path)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=module_name)
def test_only_replicas_speaks_across_replicas(path):
    text = path.read_text()
    if module_name(path) != "replicas":
        for word in ("all_reduce", "get_replica_context", "ReduceOp", "all_gather"):
            assert f"{word}(" not in text, word

"""The house: rooms on floors, and what only some rooms may do."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# From the ground up. A room imports rooms of the floors below it, and itself.
FLOORS = (
    ("redaction", "wording"),
    ("errors",),
    ("sam", "pages"),
    ("storage",),
    ("process",),
    ("machines",),
    ("config",),
    ("models",),
    ("data.pictures",),
    ("data.stored",),
    ("data.augment",),
    ("data.sources",),
    ("data.prepare",),
    ("data.input",),
    ("data.inspect",),
    ("step",),
    ("lowering", "input_range"),
    ("pjrt",),
    ("run",),
    ("instruments",),
    ("train", "export", "preflight", "study"),
    ("main", "sharpness"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# What a launcher may import: nothing that computes.
FOR_LAUNCHERS = {
    "config",
    "errors",
    "machines",
    "models",
    "process",
    "redaction",
    "run",
    "wording",
}
SOURCES = sorted((ROOT / "sam_pod").rglob("*.py"))
MODULES = sorted(path for path in SOURCES if path.name != "__init__.py")


def module_name(path):
    return ".".join(path.relative_to(ROOT / "sam_pod").with_suffix("").parts)


def room_of(module):
    """Return the room of 'data.input.views' and the like: 'data.input'."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "data" else 1])


def imports(path):
    """Return the modules of this package that a file imports, as 'data.input.views'."""
    modules = {module_name(p).removesuffix(".__init__") for p in SOURCES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "sam_pod"
        ):
            base = node.module.removeprefix("sam_pod").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield full if full in modules else base


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_every_module_has_a_room_and_imports_rooms_below_it(path):
    here = room_of(module_name(path))
    assert here in FLOOR_OF
    for module in imports(path):
        there = room_of(module)
        assert there == here or FLOOR_OF[there] < FLOOR_OF[here], f"{here}: {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "launch").rglob("*.py")))
def test_launchers_import_nothing_that_computes(path):
    assert {room_of(module) for module in imports(path)} <= FOR_LAUNCHERS


def test_the_map_names_every_room_from_the_top_down_and_every_module():
    text = (ROOT / "WORKSPACE.md").read_text()
    block = re.search(r"^    sam_pod/ .*\n((?: {6}.*\n)+)", text, re.M)[1]
    entries = re.split(r"^ {6}(?=\S)", block, flags=re.M)[1:]
    names = [e.split()[0].removesuffix(".py").strip("/") for e in entries]
    rooms = [name.replace("/", ".") for name in names]
    assert sorted(rooms) == sorted(FLOOR_OF)
    floors = [FLOOR_OF[room] for room in rooms]
    assert floors == sorted(floors, reverse=True)
    said = {
        room: set(re.findall(r"\w+", e)) for room, e in zip(rooms, entries, strict=True)
    }
    missing = [
        module_name(path)
        for path in MODULES
        if path.stem not in said[room_of(module_name(path))] and path.stem != "__main__"
    ]
    assert not missing


def names_used(path):
    return {
        node.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name)
    }


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_flags_are_read_by_commands_alone(path):
    commands = (
        "main",
        "config.command_line",
        "data.inspect.__main__",
        "data.prepare.flags",
        "data.prepare.job",
        "export.__main__",
        "preflight.__main__",
        "process.command",
        "process.path_flags",
        "process.seconds_flags",
        "sharpness",
        "study.__main__",
    )
    if module_name(path) not in commands:
        assert "flags" not in names_used(path)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_replicas_speaks_across_replicas(path):
    text = path.read_text()
    if module_name(path) != "machines.replicas":
        for word in ("all_reduce", "get_replica_context", "ReduceOp", "all_gather"):
            assert f"{word}(" not in text, word


# Files of others, and of users, that our own text names.
FOREIGN = {"keras.py", "mine.py", "random.py", "resnet_preprocessing.py"}
FOREIGN_FOLDERS = ("research/", "autoaugment/", "jax/", "dags/")


def own_files():
    for top in ("sam_pod", "launch", "tests", "configs"):
        for path in (ROOT / top).rglob("*.py"):
            yield f"/{path.relative_to(ROOT)}"


@pytest.mark.parametrize("top", ["sam_pod", "launch"])
def test_a_file_that_a_text_names_is_there(top):
    have = list(own_files())
    for path in sorted((ROOT / top).rglob("*.py")):
        for name in re.findall(
            r"(?<![\w/.$*{}-])((?:\w+/)*\w+\.py)\b", path.read_text()
        ):
            if name not in FOREIGN and not name.startswith(FOREIGN_FOLDERS):
                assert any(file.endswith(f"/{name}") for file in have), (path, name)


def test_the_package_brings_every_lock():
    told = (ROOT / "pyproject.toml").read_text()
    for lock in (ROOT / "sam_pod").rglob("*.lock"):
        package = ".".join(lock.parent.relative_to(ROOT).parts)
        line = re.search(rf'^"{re.escape(package)}" = \[(.*)\]$', told, re.M)
        assert line and f'"{lock.name}"' in line[1], lock


def test_code_for_other_processes_imports_modules_that_are_there():
    """No import of a text is run, or looked at by ruff, before its test is."""
    modules = {
        file.removesuffix(".py").removesuffix("/__init__") for file in own_files()
    }
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        for base, names in re.findall(
            r"from ((?:sam_pod|launch|tests)(?:\.\w+)*) import (\w+(?:, \w+)*)", text
        ):
            folder = "/" + base.replace(".", "/")
            if not (ROOT / folder[1:]).is_dir():
                assert folder in modules, (path, base)
                continue
            for name in names.split(", "):
                face = (ROOT / folder[1:] / "__init__.py").read_text()
                assert f"{folder}/{name}" in modules or name in face, (path, base, name)

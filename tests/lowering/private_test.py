"""One test a private name, so that a new version shows at once which one moved."""

import inspect
import pathlib
import re

import pytest

from sam_pod.lowering import made_up_tpu, private

SOURCES = pathlib.Path(private.__file__).parent.parent


@pytest.mark.parametrize("name", private.NAMES, ids=lambda n: f"{n.module}.{n.path}")
def test_a_private_name_is_where_it_was_seen(name):
    assert name.get() is not None  # What it raises says which name, and what to do.


# The arguments that are given by name, to those that take any and say nothing.
ARGUMENTS = {
    private.SYSTEM_METADATA: (
        "num_cores num_hosts num_of_cores_per_host topology devices"
    ),
    private.REPLICATE_CONTEXT: "name num_replicas pivot",
    private.SHARD_CONTEXT: "number_of_shards",
    private.REPLICA_CONTEXT: "strategy replica_id_in_sync_group",
    private.CROSS_REPLICA_SUM: "x group_assignment name",
    private.XLA_ALL_REDUCE: "input group_assignment reduce_op mode",
    private.COMPILE_OPTIONS: "num_replicas num_partitions device_assignment",
    private.TOPOLOGY: "platform topology_name",
}


@pytest.mark.parametrize("name", ARGUMENTS, ids=lambda n: f"{n.module}.{n.path}")
def test_a_private_function_takes_the_arguments_it_took(name):
    assert set(ARGUMENTS[name].split()) <= set(inspect.signature(name.get()).parameters)


@pytest.mark.parametrize("method", private.REPLICATE_METHODS)
def test_the_context_of_a_replica_has_the_method_that_lowering_replaces(method):
    context = private.REPLICATE_CONTEXT.get()
    assert callable(getattr(context, method, None)), f"{context}.{method} moved"


def test_no_other_method_of_the_context_marks_operations():
    """A new one would put a TPU's attributes on what a CPU compiles."""
    context = private.REPLICATE_CONTEXT.get()
    marks = {
        name
        for name, member in vars(context).items()
        if inspect.isfunction(member) and "_set_attr" in inspect.getsource(member)
    }
    assert marks - {"Exit", "_EnterOutsideCompilationContext"} <= {
        *private.REPLICATE_METHODS
    }, marks


@pytest.fixture(scope="module")
def strategy():
    return made_up_tpu.strategy(2)


def test_a_strategy_keeps_its_devices_where_it_did(strategy):
    devices = getattr(strategy.extended, private.STRATEGY_DEVICES)
    assert [*devices.flat] == [
        f"/job:localhost/replica:0/task:0/device:CPU:{i}" for i in range(2)
    ]


def test_a_strategy_packs_variables_where_it_did(strategy):
    kind = type(strategy)
    assert any(
        private.STRATEGY_PACKS in inspect.getsource(base.__init__)
        for base in kind.__mro__
        if "tensorflow" in base.__module__ and "__init__" in vars(base)
    ), f"{kind}.{private.STRATEGY_PACKS} moved"


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("jaxlib.xla_extension", "mlir.nothing"),
        ("jaxlib.xla_extension", "nothing.mlir"),
        ("jaxlib.no_such_module", "nothing"),
    ],
)
def test_a_name_that_moved_is_told_with_its_version(module, path):
    with pytest.raises(private.Moved) as caught:
        private.Name(module, path, "jax 0.4.34").get()
    line = str(caught.value)
    assert line.startswith(f"{module}.{path}, seen in jax 0.4.34, is not there")
    assert "fix sam_pod.lowering.private" in line


def test_every_name_is_used_and_no_other_is_touched():
    texts = {p: p.read_text() for p in SOURCES.rglob("*.py")}
    listed = texts.pop(pathlib.Path(private.__file__))
    for constant in re.findall(r"^([A-Z]\w+) = ", listed, re.MULTILINE):
        if constant != "NAMES":
            used = any(f"private.{constant}" in text for text in texts.values())
            assert used, constant
    packages = ("lowering", "preflight", "export")
    for path in (p for p in texts if p.parent.name in packages):
        found = re.findall(
            r"(?:from|import) (?:tensorflow\.(?:python|compiler)|jax\._src)"
            r"|from jaxlib|import jaxlib\.",
            texts[path],
        )
        assert not found, path

"""The command as its user runs it: a real compile, checks that decide."""

import importlib.metadata
import json
import os
import subprocess
import sys

import keras
import pytest

from sam_pod.preflight import __main__ as main_lib
from tests import runs
from tests.preflight.programs import needs_libtpu

SLICE = "--topology=v5e:2x2"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


def command(*arguments, cache, before=""):
    """Run the command in a process; return (exit code, stdout, stderr).

    Args:
        cache: XDG_CACHE_HOME.
        before: Lines of Python to run first.
    """
    code = (
        f"import sys\n{before}\nfrom sam_pod.preflight import __main__ as command\n"
        "sys.exit(command.main(sys.argv))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {"XDG_CACHE_HOME": cache, "PYTHONPATH": str(runs.ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_help_explains_the_command(capsys):
    with pytest.raises(SystemExit) as raised:
        main_lib._run(["preflight", "--help"], lambda: None)
    assert raised.value.code in (0, None)
    text = capsys.readouterr().out
    for flag in ("topology", "accelerator_type", "output", "html", "hlo", "jobs"):
        assert f"--{flag}" in text, flag
    for words in ("find_batch", "execute", "--config=configs/resnet20.py", "42"):
        assert words in text, words


@pytest.mark.slow
def test_execute_needs_no_tpu_compiler(tmp_path, cache):
    """Max pooling's gradient does not lower where it must be deterministic."""
    layers = [
        keras.layers.Input((8, 8, 3)),
        keras.layers.Conv2D(4, 3),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(4),
    ]
    model = str(tmp_path / "pooled.keras")
    keras.Sequential(layers).save(model)
    config = runs.small_config(tmp_path, **{"model.name": model})
    code, out, err = command(
        f"--config={runs.write_recipe(tmp_path / 'recipe.py', config)}",
        "--execute",
        "--execute_replicas=2",
        "--execute_steps=1",
        cache=cache,
        before="sys.modules['libtpu'] = None\n"
        "import importlib.metadata as m\n"
        "def missing(name): raise m.PackageNotFoundError(name)\n"
        "real = m.version\n"
        "m.version = lambda name: missing(name) if name == 'libtpu' else real(name)",
    )
    assert (code, err) == (0, ""), err
    assert out.count("pass  executed") == 4
    assert "2 virtual devices, 1 steps: the gradient differs by" in out


@pytest.mark.slow
@needs_libtpu
def test_the_largest_batch_is_found_by_real_compiles(tmp_path, cache):
    """What it says does not fit fails its check."""
    model = str(tmp_path / "wide.keras")
    keras.Sequential(
        [
            keras.layers.Input((512, 512, 3)),
            keras.layers.Conv2D(128, 2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
        ]
    ).save(model)
    config = runs.small_config(
        tmp_path,
        **{
            "model.name": model,
            "data.dir": "/nowhere/data",
            "data.augment": "mixup",  # Which needs even batches.
            "global_batch_size": 80,  # All that a small set has.
            "sam.rho": 0.0,  # One step less to compile.
        },
    )
    output = tmp_path / "report.json"
    arguments = [
        f"--config={runs.write_recipe(tmp_path / 'recipe.py', config)}",
        SLICE,
        "--image_shape=512,512,3",
        "--num_classes=4",
        f"--output={output}",
    ]
    many, few = "--train_examples=1000000", "--train_examples=100"

    def largest(*more):
        code, out, err = command(*arguments, *more, "--find_batch", cache=cache)
        assert code == 0, (out, err)
        (one,) = json.loads(output.read_text())["topologies"]
        return one["largest_batch"], out

    found, out = largest(many)
    fits, fails = found["fits"], found["fails"]
    assert f"largest batch a replica: {fits} fits, {fails} does not\n" in out
    # The one activation that the gradient needs is float32; two, and their like, will
    # not take three times its memory.
    activations = 16 * 2**30 / (511 * 511 * 128 * 4)
    assert activations / 3 < fits < activations and 0.9 * fails <= fits < fails
    assert fits % 2 == fails % 2 == 0

    # Its step is compiled already.
    code, out, err = command(
        *arguments, many, f"--config.global_batch_size={4 * fails}", cache=cache
    )
    assert code == 1, (out, err)
    assert "FAIL  plain step: fits" in out

    # 20 of 100 examples are held out, and a replica has 20 of the others.
    found, out = largest(few)
    assert found == {"fits": 20, "fails": None}
    assert "largest batch a replica: 20 fits, an epoch holds no larger\n" in out


FIGURES = (
    "flops",
    "bytes_accessed",
    "flops_per_byte",
    "memory_bytes",
    "memory",
    "collectives",
    "roofline",
)


def assert_is_complete(program):
    assert set(FIGURES) <= program.keys()
    assert {"weights", "slots", "activations"} <= program["memory"].keys()
    assert program["roofline"]["bound"] in ("compute", "memory", "interconnect")
    assert program["roofline"]["images_per_second"] > 0
    for collective in program["collectives"]:
        assert collective["kind"] == "all-reduce" and collective["bytes"] > 0
        assert collective["group_size"] == 4
        assert sum(collective["bytes_by_pass"].values()) == collective["bytes"]


@pytest.mark.slow
@needs_libtpu
def test_a_real_compile_is_reported_and_its_checks_decide(cache, tmp_path):
    recipe = runs.write_recipe(tmp_path / "recipe.py", runs.small_config(tmp_path))
    arguments = [f"--config={recipe}", SLICE, f"--hlo={tmp_path / 'hlo'}"]
    output = tmp_path / "report.json"
    code, out, err = command(*arguments, f"--output={output}", cache=cache)
    assert code == 0, (out, err)
    # There is one line of progress a program, and one each half minute; XLA and
    # TensorFlow say nothing.
    assert all(line.endswith((" s", " ...")) for line in err.splitlines()), err
    assert out.startswith("v5e:2x2 (v5litepod-4): 4 chips, 1 host(s), 4 replicas; ")
    assert "FAIL" not in out and "pass  SAM step: fits" in out

    report = json.loads(output.read_text())
    assert report["libtpu"] == importlib.metadata.version("libtpu")
    assert report["config"]["global_batch_size"] == 16
    (one,) = report["topologies"]
    for key, value in {
        "topology": "v5e:2x2",
        "accelerator_type": "v5litepod-4",
        "chips": 4,
        "hosts": 1,
        "replicas": 4,
        "per_replica_batch_size": 4,
        "global_batch_size": 16,
        "hbm_bytes": 16 * 2**30,
    }.items():
        assert one[key] == value, key
    assert one["programs"].keys() == {"SAM step", "plain step", "evaluation"}
    for program in one["programs"].values():
        assert_is_complete(program)
    passes = {
        name
        for collective in one["programs"]["SAM step"]["collectives"]
        for name in collective["bytes_by_pass"]
    }
    assert {"ascent", "descent"} <= passes
    assert all(check["is_passed"] for check in one["checks"])

    kept = {path.name for path in (tmp_path / "hlo").iterdir()}
    names = ("SAM-step", "plain-step", "evaluation")
    kinds = ("lowered", "compiled")
    assert kept == {f"v5e-2x2-{n}.{kind}.txt" for n in names for kind in kinds}
    for name in kept:
        assert (tmp_path / "hlo" / name).read_text().startswith("HloModule")

    # Again, from the cache, with a bound that no SAM step keeps.
    code, out, err = command(
        *arguments,
        f"--output={output}",
        cache=cache,
        before="from sam_pod.preflight import checks\nchecks.FLOPS_SLACK = 0.5",
    )
    assert code == 1
    assert err == "Error: A check failed; the lines that begin with FAIL say which.\n"
    failed = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1 and "FLOPs at most 1.00 x plain" in failed[0]
    (one,) = json.loads(output.read_text())["topologies"]
    assert all(program["is_cached"] for program in one["programs"].values())

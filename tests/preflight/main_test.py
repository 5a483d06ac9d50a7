"""The command as its user runs it: bad input, a real compile, checks that decide."""

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys

import keras
import pytest

from sam_pod import errors
from sam_pod.preflight import __main__ as main_lib
from sam_pod.run import build
from tests import fixtures, runs
from tests.lowering.programs_test import in_python, odd_model
from tests.preflight.programs import needs_libtpu

RESNET = f"--config={runs.ROOT / 'configs' / 'resnet20.py'}"
SLICE = "--topology=v5e:2x2"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the flag of a small recipe; beside it is an empty cache of compiles."""
    folder = tmp_path_factory.mktemp("small")
    config = runs.small_config(folder)
    return f"--config={runs.write_recipe(folder / 'recipe.py', config)}"


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


def refused(*arguments):
    """Run the command here, expect one line, and return it."""
    with pytest.raises(errors.UserError) as caught:
        main_lib._run(["preflight", *map(str, arguments)], lambda: None)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "No slice; give --topology=v5e:4x4"),
        (["--topology=v5e:3x3"], "the nearest is v5e:2x4 (v5litepod-8)"),
        (["--topology=v9:2x2"], "The nearest is"),
        (["--accelerator_type=v4-31"], "The nearest is v4-32"),
        ([SLICE, "--accelerator_type=v5litepod-17"], "The nearest is v5litepod-16"),
        ([SLICE, "--config.global_batch_size=30"], "(4): take 28 or 32"),
        (["--topology=v5e:4x4", "--config.global_batch_size=15"], "(16): take 16"),
        ([SLICE, "--config.sam.sync=3"], "take one of [1, 2, 4]"),
        ([SLICE, "--config.sam.roh=1"], "nearest is `sam.rho`"),
        ([SLICE, "--topolgy=v5e:2x2"], "topolgy"),
        ([SLICE, "extra"], "'extra' is not a flag"),
        ([SLICE, "--jobs=0"], "jobs"),
        ([SLICE, "--execute", "--execute_replicas=0"], "execute_replicas"),
        (["--execute", "--config.global_batch_size=30"], "(4): take 28 or 32"),
        ([SLICE, "--output=/proc/no/report.json"], "/proc/no/report.json cannot be"),
        ([SLICE, "--output=/proc"], "/proc cannot be written"),
        ([SLICE, "--html=/proc/no/page.html"], "/proc/no/page.html cannot be"),
        ([SLICE, "--output=/proc/report.json"], "/proc/report.json cannot be written"),
        ([SLICE, "--output=a", "--html=./a"], "--output and --html are both ./a"),
        ([SLICE, "--num_classes=-3"], "num_classes"),
        ([SLICE, "--train_examples=-10"], "train_examples"),
        ([SLICE, "--hlo=/proc/no"], "Cannot write under /proc/no"),
        ([SLICE, "--image_shape=3,3"], "do not describe data; give all three"),
        ([SLICE, "--image_shape=a,b,c", "--num_classes=2"], "do not describe data"),
        ([SLICE, "--num_classes=2"], "do not describe data; give all three"),
        (
            [
                *(SLICE, "--image_shape=0,8,1"),
                *("--num_classes=2", "--train_examples=9"),
            ],
            "do not describe data",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(small, monkeypatch, arguments, words):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.7")
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])
    assert words in refused(small, *arguments)


def test_data_of_an_unknown_shape_are_refused_with_the_flags_that_help():
    line = refused(
        RESNET, SLICE, "--config.data.name=mine", "--config.data.dir=/nowhere"
    )
    assert "--image_shape=H,W,C, --num_classes=K and --train_examples=N" in line


def test_no_recipe_is_refused_in_one_line():
    assert "No recipe" in refused(SLICE)


def _missing(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_without_libtpu_the_line_that_installs_it(small, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", _missing)
    assert "libtpu.lock" in refused(small, SLICE)


def test_a_model_that_does_not_lower_is_told_by_layer_and_operation(small, monkeypatch):
    broken = odd_model(in_python)
    whole = build.recipe

    def with_broken_model(*arguments):
        return dataclasses.replace(
            whole(*arguments),
            network=broken,
            augmentation=fixtures.no_augmentation(
                lambda images, draws: images[:, :6, :6] / 255
            ),
        )

    monkeypatch.setattr(build, "recipe", with_broken_model)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.7")
    line = refused(small, SLICE)
    assert "EagerPyFunc in my_layer" in line and "Replace that layer" in line


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
            keras.layers.Conv2D(128, 3, activation="relu"),
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
            "global_batch_size": 64,
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
    activations = 16 * 2**30 / (510 * 510 * 128 * 4)
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


@pytest.mark.slow
@needs_libtpu
def test_a_real_compile_is_reported_and_its_checks_decide(small, cache, tmp_path):
    arguments = [small, SLICE, f"--hlo={tmp_path / 'hlo'}"]
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
        assert set(FIGURES) <= program.keys()
        assert {"weights", "slots", "activations"} <= program["memory"].keys()
        assert program["roofline"]["bound"] in ("compute", "memory", "interconnect")
        assert program["roofline"]["images_per_second"] > 0
        for collective in program["collectives"]:
            assert collective["kind"] == "all-reduce" and collective["bytes"] > 0
            assert collective["group_size"] == 4
            assert sum(collective["bytes_by_pass"].values()) == collective["bytes"]
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

"""Data and runs in s3://, against a real S3 API server, and through a faulty proxy."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests import faulty_proxy, runs, s3_server, train_test

ALWAYS_SAVE = "--config.checkpoint.every_seconds=1e-9"


@pytest.fixture(scope="module")
def server():
    with s3_server.serve() as server:
        yield server


@pytest.fixture
def proxy(server):
    with faulty_proxy.serve(server.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def whole(tmp_path_factory, server):
    """Return (arguments of a run on data in s3://, a local one that nothing disturbed).

    The data are in the bucket, too.
    """
    folder = tmp_path_factory.mktemp("whole")
    config = runs.small_config(folder, num_epochs=2)
    train_test.run(config, folder / "run")
    server.put(folder / "data", "data/")
    config.data.dir = f"s3://{s3_server.BUCKET}/data"
    config.log_every_seconds = 1e-9
    recipe = runs.write_recipe(folder / "recipe.py", config)
    return [f"--config={recipe}"], folder / "run"


def assert_is_whole(expected, workdir):
    runs.assert_equal_checkpoints(expected, workdir)
    runs.assert_equal_checkpoints(expected, workdir, "checkpoints/best")
    runs.assert_equal_scalars(expected, workdir)
    runs.assert_equal_points(expected, workdir)
    # The digest: where and how often differ.
    runs.assert_equal_results(
        runs.result(expected), runs.result(workdir), but=["config_digest"]
    )


FAULTS = {
    "manifest.json": faulty_proxy.Reset(),
    "train-00001-of-00003.tfrecord": faulty_proxy.Reset(after=40),
    "test-00000-of-00003.tfrecord": faulty_proxy.Slow(0.01, pieces=3),
    "config.json": faulty_proxy.Status(500),
    "ckpt-6-1.data": faulty_proxy.Status(503),
    "ckpt-10-2.data": faulty_proxy.Reset(),
    "events.out": faulty_proxy.Status(500),
}


def fail_for_a_while(method, path, number):
    """Let first requests fail, and one for longer than the client of s3:// tries by
    itself.
    """
    times = 4 if "config.json" in path else 1
    found = (fault for name, fault in FAULTS.items() if name in path)
    return next(found, None) if number < times else None


@pytest.mark.slow
def test_a_run_killed_within_a_save_goes_on_bit_for_bit_whatever_fails(
    server, proxy, whole, tmp_path
):
    arguments, expected = whole
    arguments = [*arguments, f"--workdir=s3://{s3_server.BUCKET}/killed"]
    process = None

    def kill(method, path, number):
        if method != "PUT" or "ckpt-7-1.index" not in path:
            return None
        process.send(signal.SIGKILL)
        return faulty_proxy.Reset()

    proxy.plan = kill
    environment = s3_server.environment(proxy.url)
    process = runs.Process(*arguments, ALWAYS_SAVE, environment=environment)
    assert process.wait() == -signal.SIGKILL
    left = server.names("killed/checkpoints/")
    assert "ckpt-7-1.data-00000-of-00001" in left
    assert "ckpt-7-1.index" not in left
    assert "ckpt-6-1.index" in left
    # Each flush of events sends all of them: one for each save, not more.
    sent = [path for method, path in proxy.requests if method == "PUT"]
    saves = [path for path in sent if "checkpoints/ckpt" in path]
    assert sum("events.out" in path for path in sent) <= len(saves) // 2 + 2
    lines = process.lines

    # Once more, and now all kinds of things fail for a while.
    proxy.plan = fail_for_a_while
    proxy.requests.clear()
    code, more, stderr = runs.main(*arguments, environment=environment)
    assert (code, stderr) == (0, "")
    lines += more
    assert any("Continuing after step 6/" in line for line in lines)
    # The metrics of step 7 were there, and the checkpoint was not.
    assert any("from 1 event file(s): they come after step 6" in x for x in lines)
    assert any("trying again in" in line for line in lines)
    assert {fault for _, _, fault in proxy.faults} == {*FAULTS.values()}
    workdir = server.get("killed/", tmp_path / "killed")
    assert_is_whole(expected, workdir)
    assert not [name for name in server.names("killed/") if "partial" in name]
    for path in workdir.rglob("*"):
        if path.is_file():
            assert s3_server.SECRET_KEY.encode() not in path.read_bytes(), path
    assert not any(s3_server.SECRET_KEY in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["everything", "data"])
def test_a_service_that_stays_away_ends_a_run_that_continues_later(
    server, proxy, whole, tmp_path, what
):
    arguments, expected = whole
    folder = f"away-{what}"
    arguments = [*arguments, f"--workdir=s3://{s3_server.BUCKET}/{folder}", ALWAYS_SAVE]
    arguments.append("--config.storage.retry_seconds=3")
    environment = s3_server.environment(proxy.url)
    if what == "data":  # Which are read a first time by the checks.
        proxy.plan = lambda method, path, number: (
            faulty_proxy.Reset() if ".tfrecord" in path and number else None
        )
    process = runs.Process(*arguments, environment=environment)
    if what == "everything":
        assert process.read_until("step 4/")
        proxy.plan = lambda method, path, number: faulty_proxy.Status(503)
    assert process.wait() == 42, process.stderr
    assert process.stderr == ""
    lines = [line for line in process.lines if "storage is lost" in line]
    assert len(lines) == 1
    assert "s3://bucket/" in lines[0]
    for name in server.names(f"{folder}/checkpoints/"):
        if name.endswith(".index"):
            assert name.replace(".index", ".data-00000-of-00001") in server.names(
                f"{folder}/checkpoints/"
            )
    proxy.plan = lambda method, path, number: None
    process = runs.Process(*arguments, environment=environment)
    assert process.read_until("step 7/")
    process.send(signal.SIGTERM)
    assert process.wait() == 42
    code, lines, stderr = runs.main(*arguments, environment=environment)
    assert (code, stderr) == (0, "")
    assert_is_whole(expected, server.get(f"{folder}/", tmp_path / folder))
    code, lines, _ = runs.main(*arguments, environment=environment)
    assert code == 0
    assert any("finished already" in line for line in lines)


def in_process(code, environment, cwd=None):
    """Run code in a process of its own; return what it gives to `tell`, by line."""
    text = (
        "import json, os, sys\n"
        "from sam_pod import errors\nfrom sam_pod.run import workdir\n"
        "from sam_pod.storage import faults, files, objects, retries\n"
        "def tell(function, *arguments):\n"
        "    try:\n"
        "        told = function(*arguments)\n"
        "    except (errors.UserError, faults.StorageLost) as error:\n"
        "        told = f'{type(error).__name__}: {error}'\n"
        "    print(json.dumps(told), flush=True)\n"
        f"{textwrap.dedent(code)}\nos._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": str(runs.ROOT), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_files_in_a_bucket_are_files(server, tmp_path):
    told = in_process(
        """
        at = "s3://bucket/files"
        files.check_scheme(at, "--workdir", to_write=True)
        tell(files.names, at)
        tell(files.exists, at)
        files.write(f"{at}/x", "old")
        files.write(f"{at}/x", "new")
        files.write(f"{at}/x.longer", "other")
        open("empty", "w").close()
        files.upload("empty", f"{at}/sub/y")
        tell(files.read, f"{at}/x")
        tell(files.read, f"{at}/sub/y")
        tell(files.read, f"{at}/none")
        tell(files.names, at)
        tell(files.size, f"{at}/x.longer")
        tell(lambda: [files.exists(f"{at}/{x}") for x in ("x", "sub", "none")])
        tell(lambda: [files.is_folder(f"{at}/{x}") for x in ("x", "sub", "none")])
        files.rename(f"{at}/x", f"{at}/z")
        tell(files.names, at)
        files.remove(f"{at}/z")
        files.remove_folder(f"{at}/sub")
        files.remove_folder(f"{at}/sub")
        tell(files.names, at)
        large = os.urandom(3 * objects.BLOCK_BYTES + 1)
        with open("large", "wb") as file:
            file.write(large)
        files.upload("large", f"{at}/large")
        tell(lambda: files.size(f"{at}/large") == len(large))
        tell(lambda: files.read_bytes(f"{at}/large") == large)
        files.check_rights(at)
        tell(files.names, at)
        """,
        s3_server.environment(server.url),
        cwd=tmp_path,
    )
    assert told == [
        [],
        False,
        "new",
        "",
        None,
        ["sub", "x", "x.longer"],
        5,
        [True, True, False],
        [False, True, False],
        ["sub", "x.longer", "z"],
        ["x.longer"],
        True,
        True,
        ["large", "x.longer"],
    ]


@pytest.mark.slow
def test_a_record_is_asked_for_by_its_own_bytes(server, proxy, tmp_path):
    """TensorFlow would ask s3:// for 127 MiB."""
    told = in_process(
        """
        import tensorflow as tf
        from sam_pod.data.stored import framing, offsets
        from sam_pod.data.input import random_access
        at = "s3://bucket/records"
        files.check_scheme(at, "`data.dir`")
        with tf.io.TFRecordWriter("local") as writer:
            for number in range(5):
                writer.write(bytes([number]) * (100 + number))
        files.upload("local", at)
        found = offsets.of_scan(framing.scan("local"))
        records = random_access.Records([at], [found])
        rows = tf.data.Dataset.from_tensor_slices(tf.constant([3, 0, 4], tf.int64))
        for record in rows.map(records.read).as_numpy_iterator():
            tell(record.decode)
        """,
        s3_server.environment(proxy.url),
        cwd=tmp_path,
    )
    assert told == ["\3" * 103, "\0" * 100, "\4" * 104]
    # Each starts with a byte that TensorFlow looks at to see whether there is more.
    sizes = set()
    for asked in proxy.ranges:
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        sizes.add(last - first + 1)
    assert sizes == {1, 16 + 100, 16 + 103, 16 + 104}


@pytest.mark.slow
def test_a_service_that_fails_is_not_taken_for_one_without_the_file(server, proxy):
    server.client.put_object(Bucket=s3_server.BUCKET, Key="there/x", Body=b"content")
    proxy.plan = lambda method, path, number: faulty_proxy.Status(503)
    told = in_process(
        """
        files.check_scheme("s3://bucket/there", "--workdir")
        retries.limit_to(0)
        tell(files.exists, "s3://bucket/there/x")
        tell(files.is_folder, "s3://bucket/there")
        tell(files.names, "s3://bucket/there")
        tell(files.read, "s3://bucket/there/x")
        tell(files.size, "s3://bucket/there/x")
        tell(files.rename, "s3://bucket/there/x", "s3://bucket/there/y")
        """,
        {**s3_server.environment(proxy.url), "AWS_MAX_ATTEMPTS": "1"},
    )
    for line in told:
        assert line.startswith("StorageLost: s3://bucket/there"), line
    assert len(told) == 6


@pytest.mark.slow
def test_a_missing_right_is_named(server, proxy):
    """The proxy refuses by the name of the folder, as a policy of the bucket would."""

    def refuse(method, path, number):
        lists = "list-type=2" in path
        right = {"GET": "list" if lists else "read", "PUT": "write", "HEAD": "read"}
        if f"no-{right.get(method, 'delete')}" in path.replace("%2F", "/"):
            return faulty_proxy.Status(403)
        return None

    proxy.plan = refuse
    told = in_process(
        """
        from sam_pod.config import keys as config
        from sam_pod.data.stored import manifest
        files.check_scheme("s3://bucket/x", "--workdir")
        for right in ("list", "write", "delete"):
            tell(workdir.begin, f"s3://bucket/no-{right}", config.defaults(), {})
        tell(manifest.read, "s3://bucket/no-read")
        tell(workdir.begin, f"s3://another-bucket/x", config.defaults(), {})
        tell(manifest.read, "s3://another-bucket/x")
        tell(manifest.read, "s3://bucket/nothing")
        """,
        s3_server.environment(proxy.url),
    )
    permissions = ("ListBucket", "PutObject", "DeleteObject", "GetObject")
    for line, permission in zip(told, permissions, strict=False):
        assert line.startswith("UserError: Cannot use s3://bucket/no-"), line
        assert f"the permission s3:{permission} on it" in line
    assert "NoSuchBucket" in told[4]
    assert "Cannot use s3://another-bucket/x" in told[4]
    assert "s3://another-bucket/x" in told[5]
    assert told[6].startswith("UserError: No data set at 's3://bucket/nothing'")
    assert not [name for name in server.names("no-") if "config" in name]


@pytest.mark.slow
def test_prepare_writes_to_a_bucket_as_to_a_disk(server, tmp_path):
    from sam_pod.data.prepare import job

    folder = tmp_path / "digits"
    job.main(["", "--dataset=digits", f"--output={folder}"])
    command = ["--dataset=digits", f"--output=s3://{s3_server.BUCKET}/digits"]
    environment = {**s3_server.environment(server.url), "TMPDIR": str(tmp_path)}

    def run():
        process = runs.Process(
            *command, module="sam_pod.data.prepare", environment=environment
        )
        return process.wait(), process.stderr

    assert run() == (0, "")
    assert server.names("digits/") == sorted(path.name for path in folder.iterdir())
    copy = server.get("digits/", tmp_path / "copy")
    for path in folder.iterdir():
        assert (copy / path.name).read_bytes() == path.read_bytes(), path
    assert not list(tmp_path.glob("sam_pod-*"))
    code, stderr = run()
    assert code == 1
    assert "`output` s3://bucket/digits already holds files" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.slow
def test_a_folder_is_sent_whole_or_not_at_all(server, proxy, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / ".state").mkdir()
    for name in ("manifest.json", "sub/x", "a", ".state/hidden"):
        (folder / name).write_text(name)

    def refuse(method, path, number):
        fails = method == "PUT" and path.endswith("sent/sub/x") and number < 4
        return faulty_proxy.Status(403) if fails else None

    proxy.plan = refuse
    server.client.put_object(Bucket=s3_server.BUCKET, Key="sent/.incomplete", Body=b"")
    server.client.put_object(Bucket=s3_server.BUCKET, Key="sent/left", Body=b"x")
    told = in_process(
        f"""
        from sam_pod.storage import remote_folder
        tell(remote_folder.check, "s3://bucket/sent/")
        tell(remote_folder.send, {str(folder)!r}, "s3://bucket/sent")
        tell(files.names, "s3://bucket/sent")
        tell(remote_folder.send, {str(folder)!r}, "s3://bucket/sent")
        tell(remote_folder.send, {str(folder)!r}, "s3://bucket/sent")
        """,
        s3_server.environment(proxy.url),
    )
    assert "s3://bucket/sent already holds files" in told.pop()  # Another one's.
    assert told[0] == "s3://bucket/sent"
    assert "s3:PutObject" in told[1]
    assert told[2:] == [[], None]
    assert server.names("sent/") == ["a", "manifest.json", "sub/x"]
    puts = [path for method, path in proxy.requests if method == "PUT"]
    assert puts[-1].endswith("sent/manifest.json")


def user_error(*arguments, **environment):
    code, _, stderr = runs.main(*arguments, environment=environment)
    assert code == 1, stderr
    assert stderr.count("\n") == 1
    return stderr


def test_what_cannot_be_reached_is_told_at_once_and_by_name(whole):
    arguments, _ = whole
    line = user_error(
        *arguments, "--workdir=s3://bucket/run", S3_ENDPOINT="127.0.0.1:1"
    )
    assert "S3_ENDPOINT is '127.0.0.1:1', without its scheme" in line
    assert "http://127.0.0.1:1" in line
    line = user_error(
        *arguments, "--workdir=s3://bucket/run", S3_ENDPOINT="http://127.0.0.1:1"
    )
    assert "--workdir is s3://bucket/run, but 127.0.0.1:1 does not answer" in line
    assert "S3_ENDPOINT" in line


@pytest.mark.parametrize(
    "flag",
    [
        "--workdir=s3://AKIDEXAMPLE:hunter2hunter2@bucket/run",
        pytest.param(
            "--config.data.dir=https://host/data?X-Amz-Signature=hunter2hunter2",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(whole, flag):
    code, lines, stderr = runs.main(*whole[0], flag)
    assert code == 1
    assert "carries credentials" in stderr
    assert "hunter2" not in stderr + "".join(lines)

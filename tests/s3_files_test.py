"""Files in s3://, as a real S3 API server and a faulty proxy serve them."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests import faulty_proxy, runs, s3_server

server = s3_server.server
proxy = s3_server.proxy


def in_process(code, environment, cwd=None):
    """Run code in a process of its own; return what it gives to `tell`, by line."""
    text = (
        "import json, os, sys\n"
        "from sam_pod.process import heavy_imports\nheavy_imports.tensorflow()\n"
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

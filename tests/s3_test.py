"""Runs on data and a workdir in s3://, against a real S3 API and a faulty proxy."""

import signal

import pytest

from tests import faulty_proxy, runs, s3_server, training

server = s3_server.server
proxy = s3_server.proxy
ALWAYS_SAVE = "--config.checkpoint.every_seconds=1e-9"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, server):
    """Return (arguments of a run on data in s3://, a local one that nothing disturbed).

    The data are in the bucket, too.
    """
    folder = tmp_path_factory.mktemp("whole")
    config = runs.small_config(folder, num_epochs=2)
    training.run(config, folder / "run")
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
    assert any("what comes after step 6 " in x and "in 1 file" in x for x in lines)
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
    # Of where it stays away a later process knows nothing: it finds the bucket.
    code, lines, stderr = runs.main(*arguments, environment=environment)
    assert (code, stderr) == (0, "")
    assert_is_whole(expected, server.get(f"{folder}/", tmp_path / folder))
    if what == "everything":
        code, lines, _ = runs.main(*arguments, environment=environment)
        assert code == 0
        assert any("finished already" in line for line in lines)


def test_what_cannot_be_reached_is_told_at_once_and_by_name(whole):
    arguments, _ = whole
    line = runs.user_error(
        *arguments,
        "--workdir=s3://bucket/run",
        environment={"S3_ENDPOINT": "127.0.0.1:1"},
    )
    assert "S3_ENDPOINT is '127.0.0.1:1', without its scheme" in line
    assert "http://127.0.0.1:1" in line
    line = runs.user_error(
        *arguments,
        "--workdir=s3://bucket/run",
        environment={"S3_ENDPOINT": "http://127.0.0.1:1"},
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

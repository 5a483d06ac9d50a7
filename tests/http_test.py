"""Data read from a web server, which may be faulty."""

import pytest

from tests import faulty_proxy, http_server, runs, training


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return (folder, config, workdir of a run on the data as local files)."""
    folder = tmp_path_factory.mktemp("whole")
    config = runs.small_config(folder, num_epochs=2)
    training.run(config, folder / "run")
    return folder, config, folder / "run"


def arguments(folder, config, url, workdir):
    config = config.copy_and_resolve_references()
    config.data.dir = f"{url}/data"
    recipe = runs.write_recipe(folder / "http.py", config)
    return [f"--config={recipe}", f"--workdir={workdir}"]


FAULTS = (
    faulty_proxy.Status(503),
    faulty_proxy.Reset(),
    faulty_proxy.Reset(after=7),
    faulty_proxy.Status(500),
)


@pytest.mark.slow
def test_a_run_on_a_faulty_server_is_the_run_on_local_files(whole, tmp_path):
    """TensorFlow's client for http:// tries nothing twice."""
    folder, config, expected = whole
    with (
        http_server.serve(folder) as url,
        faulty_proxy.serve(url) as proxy,
    ):
        # By turns, so that the checks before and the dataset meet them alike.
        proxy.plan = lambda method, path, number: (
            FAULTS[(number // 2 + len(path)) % len(FAULTS)]
            if number % 2 == 0 and number < 8
            else None
        )
        code, lines, stderr = runs.main(
            *arguments(folder, config, proxy.url, tmp_path / "run")
        )
    assert (code, stderr) == (0, "")
    assert any("trying again in" in line for line in lines)
    shards = {path for _, path, _ in proxy.faults if ".tfrecord" in path}
    assert len(shards) == 6  # All of them have failed.
    runs.assert_equal_checkpoints(expected, tmp_path / "run")
    runs.assert_equal_scalars(expected, tmp_path / "run")


@pytest.mark.slow
def test_a_server_without_ranges_is_refused_by_name(whole, tmp_path):
    folder, config, _ = whole
    with http_server.serve(folder, ranges=False) as url:
        line = runs.user_error(*arguments(folder, config, url, tmp_path / "run"))
    assert f"The server of {url}/data/manifest.json ignores Range requests" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_nothing_there_and_nobody_there_are_told(whole, tmp_path):
    folder, config, _ = whole
    with http_server.serve(tmp_path) as url:
        line = runs.user_error(*arguments(folder, config, url, tmp_path / "run"))
    assert f"No data set at '{url}/data'" in line
    line = runs.user_error(*arguments(folder, config, url, tmp_path / "run"))
    assert f"{url.removeprefix('http://')} does not answer" in line
    line = runs.user_error(*arguments(folder, config, url, f"{url}/run"))
    assert f"--workdir is {url}/run, and http is for reading alone" in line

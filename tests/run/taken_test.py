"""Which folders are no place for a run; tests of studies and exports have theirs."""

import pathlib

import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.run import workdir
from tests import fixtures


def test_no_run_begins_in_a_data_set(tmp_path):
    config = config_lib.defaults()
    fixtures.write_data(tmp_path / "data", train=4, test=4)
    folder = str(tmp_path / "data")
    with pytest.raises(
        errors.UserError, match=r"data holds a prepared data set, and .*"
    ):
        workdir.check(folder, config)
    # A run that was let in by an older version goes on.
    (tmp_path / "data/config.json").write_text(config_lib.to_json(config))
    workdir.check(folder, config)


def test_no_run_begins_among_its_own_data_of_others(tmp_path):
    config = config_lib.defaults()
    config.data.dir = f"{tmp_path}/sub/.."
    with pytest.raises(errors.UserError, match="holds this run's data"):
        workdir.check(str(tmp_path), config)
    workdir.check(str(tmp_path / "sub"), config)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b'{"schema_version": 1, "files": []}'),
        ("manifest.json", b'["splits", "schema_version"]'),
        ("manifest.json", b"\xff{"),
        ("manifest.json", None),
        ("study.json", b'{"seeds": 3}'),
        ("notes.txt", b"splits"),
    ],
)
def test_notes_of_the_user_are_no_reason(tmp_path, name, content):
    path: pathlib.Path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    workdir.check(str(tmp_path), config_lib.defaults())

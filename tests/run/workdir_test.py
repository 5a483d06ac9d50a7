"""The folder of a run: who may continue it, and how files appear in it."""

import concurrent.futures
import functools
import json
import os

import pytest

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.run import result_file, workdir
from sam_pod.storage import files


def test_same_config_may_continue_another_may_not(tmp_path):
    path = str(tmp_path / "a" / "b")
    config = config_lib.defaults()
    workdir.check(path, config)
    assert not os.path.exists(path)
    workdir.begin(path, config, {"data.dir": "a"}).close()
    workdir.check(path, config)
    workdir.begin(path, config, {"data.dir": "a"}).close()
    config.sam.rho = 0.2
    config.seed = 3
    with pytest.raises(
        errors.UserError,
        match=r"`sam\.rho` was 0\.05, is 0\.2, `seed` was 0, is 3",
    ):
        workdir.check(path, config)


def test_a_run_of_an_older_version_lacks_keys_and_continues(tmp_path):
    config = config_lib.defaults()
    old = config.to_dict()
    del old["dtype"], old["model"]["batch_norm"], old["watchdog"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    workdir.check(str(tmp_path), config)
    config.model.batch_norm = "global"
    with pytest.raises(errors.UserError, match="was 'replica', is 'global'"):
        workdir.check(str(tmp_path), config)
    (tmp_path / "config.json").write_text(json.dumps({**old, "colour": "blue"}))
    with pytest.raises(errors.UserError, match=r"Unknown config key `colour` in .*js"):
        workdir.check(str(tmp_path), config)


def test_checkpoints_of_a_run_that_nothing_describes_are_refused(tmp_path):
    """As in a copy that lacks the config."""
    config = config_lib.defaults()
    workdir.begin(str(tmp_path), config, {}).close()
    (tmp_path / "checkpoints").mkdir()
    workdir.check(str(tmp_path), config)
    (tmp_path / "config.json").unlink()
    workdir.check(str(tmp_path), config)  # A start that was killed early left it so.
    (tmp_path / "checkpoints" / "ckpt-20-2.index").touch()
    with pytest.raises(errors.UserError, match=r"holds checkpoints/ckpt-20-2 and no c"):
        workdir.check(str(tmp_path), config)


def test_other_data_are_refused(tmp_path):
    config = config_lib.defaults()
    workdir.begin(str(tmp_path), config, {"data.dir": "a"}).close()
    with pytest.raises(errors.UserError, match=r"another content of `data\.dir`"):
        workdir.begin(str(tmp_path), config, {"data.dir": "b"})


def test_who_reads_a_run_is_not_told_to_begin_another(tmp_path):
    config = config_lib.defaults()
    known = {"data.dir": "a", "model.trusted_modules": "a"}
    workdir.begin(str(tmp_path), config, known).close()
    for key in known:
        with pytest.raises(errors.UserError, match="give another --workdir, or that"):
            workdir.check_inputs(str(tmp_path), config, {key: "b"})
        with pytest.raises(errors.UserError, match="put back what the run") as told:
            workdir.check_inputs(str(tmp_path), config, {key: "b"}, trains=False)
        assert "--workdir" not in str(told.value)


def test_one_process_at_a_time(tmp_path):
    config = config_lib.defaults()
    lock = workdir.begin(str(tmp_path), config, {})
    with pytest.raises(errors.UserError, match="Another process is running in"):
        workdir.begin(str(tmp_path), config, {})
    lock.close()
    workdir.begin(str(tmp_path), config, {}).close()


def test_who_is_refused_notes_nothing_of_the_run_that_is_there(tmp_path):
    config, notes = config_lib.defaults(), []
    begin = functools.partial(
        *(workdir.begin, str(tmp_path), config),
        first=lambda: notes.append((tmp_path / "config.json").exists()),
    )
    lock = begin({"data.dir": "a"})
    with pytest.raises(errors.UserError, match="Another process is running in"):
        begin({"data.dir": "a"})
    lock.close()
    with pytest.raises(errors.UserError, match=r"another content of `data\.dir`"):
        begin({"data.dir": "b"})
    begin({"data.dir": "a"}).close()
    assert notes == [False, True]  # By the first, and the last.


def test_a_folder_in_a_bucket(request):
    path = f"ram://{request.node.name}/run"
    config = config_lib.defaults()
    workdir.check(path, config)
    assert not files.exists(path)
    lock = workdir.begin(path, config, {"data.dir": "a"})
    workdir.begin(path, config, {"data.dir": "a"}).close()  # Without a lock.
    lock.close()
    assert files.names(path) == ["config.json", "inputs.json"]
    assert files.read(f"{path}/config.json") == config_lib.to_json(config)
    with pytest.raises(errors.UserError, match=r"another content of `data\.dir`"):
        workdir.begin(path, config, {"data.dir": "b"})
    assert result_file.read(path) is None
    result_file.write(path, {"test_accuracy": 0.5, "test_loss": 2.0})
    assert result_file.read(path) == {"test_accuracy": 0.5, "test_loss": 2.0}
    config.seed = 3
    with pytest.raises(errors.UserError, match="`seed` was 0, is 3"):
        workdir.check(path, config)
    with pytest.raises(errors.UserError, match=r"config\.json is a file"):
        workdir.check(f"{path}/config.json", config)
    files.write(f"{path}/config.json", "{")
    with pytest.raises(errors.UserError, match=r"config\.json cannot be read"):
        workdir.check(path, config)
    files.remove_folder(path)


def test_an_unknown_file_system_is_refused():
    with pytest.raises(errors.UserError, match=r"--workdir is s4://x, .*'s4'"):
        workdir.check("s4://x", config_lib.defaults())


def test_files_and_unreadable_configs_are_refused(tmp_path):
    config = config_lib.defaults()
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="is a file"):
        workdir.check(str(tmp_path / "file"), config)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(errors.UserError, match=r"config\.json cannot be read"):
        workdir.check(str(tmp_path), config)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(errors.UserError, match="holds no JSON object"):
        workdir.check(str(tmp_path), config)
    (tmp_path / "closed" / ".lock").mkdir(parents=True)
    with pytest.raises(errors.UserError, match="Is a directory"):
        workdir.begin(str(tmp_path / "closed"), config, {})
    with pytest.raises(errors.UserError, match=r"Cannot write under .*Not a directory"):
        workdir.begin(str(tmp_path / "file" / "x"), config, {})


def test_runs_that_start_in_one_second_have_folders_of_their_own(tmp_path):
    name = str(tmp_path / "runs" / "digits-20300101-000000")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(workdir.make_new, [name] * 8))
    assert sorted(made) == [name, *(f"{name}-{number}" for number in range(2, 9))]
    assert all(os.path.isdir(path) for path in made)
    result_file.write(made[0], {"test_accuracy": 0.5, "test_loss": 2.0})
    for path in made:
        workdir.drop_empty(path)
    assert os.listdir(tmp_path / "runs") == [os.path.basename(made[0])]
    with pytest.raises(errors.UserError, match="Cannot write under"):
        workdir.make_new(f"{made[0]}/result.json/x")

"""What workers must agree on, and how they learn that they do not."""

import os
import shutil

import numpy as np
import pytest

import sam_pod
from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.machines import workers
from sam_pod.run import identity
from tests import fixtures


class Exchange(workers.Workers):
    """One worker of several, whose all-reduce is a sum with what the others said."""

    def __init__(self, index, chiefs, others):
        super().__init__(fixtures.mirrored(1), index, len(others))
        self._chiefs, self._others = chiefs, others

    def chiefs_bytes(self, data):
        return data if self.is_chief else self._chiefs

    def total(self, numbers):
        return list(np.add(numbers, self._others))


def differing(key=None, value=None, inputs=None):
    config = config_lib.defaults()
    if key:
        section, _, name = key.rpartition(".")
        (config[section] if section else config)[name] = value
    return identity.of(config, inputs or {"data.dir": "d1"})


@pytest.mark.parametrize(
    ("own", "phrase"),
    [
        (differing("sam.rho", 0.1), "config `sam.rho` is 0.1, the chief's 0.05"),
        (differing(inputs={"data.dir": "d2"}), "content `data.dir` is 'd2'"),
        (differing("seed", 3), "config `seed` is 3, the chief's 0"),
    ],
)
def test_a_worker_that_differs_is_told_what(own, phrase):
    chief = differing()
    assert identity.differences(chief, own)[0].startswith(phrase)
    text = identity.json.dumps(chief, sort_keys=True).encode()
    with pytest.raises(
        errors.UserError, match="Worker 1 differs from the chief: "
    ) as e:
        identity.check(own, Exchange(1, text, [0.0, 0.0]))
    assert phrase in str(e.value)
    with pytest.raises(errors.UserError, match=r"Refused worker\(s\) 1, which differ"):
        identity.check(chief, Exchange(0, text, [0.0, 1.0]))


def test_equal_workers_pass_wherever_their_data_lie():
    chief, own = differing(), differing("data.dir", "/elsewhere")
    text = identity.json.dumps(chief, sort_keys=True).encode()
    identity.check(own, Exchange(1, text, [0.0, 0.0]))
    identity.check(chief, Exchange(0, text, [0.0, 0.0]))


def test_the_code_of_every_room_belongs_to_the_identity(monkeypatch, tmp_path):
    own = identity.code_digest()
    package = tmp_path / "sam_pod"
    shutil.copytree(os.path.dirname(sam_pod.__file__), package)
    monkeypatch.setattr(sam_pod, "__file__", str(package / "__init__.py"))
    assert identity.code_digest() == own
    with open(package / "step/algorithm.py", "a") as file:
        file.write("# Another step.\n")
    assert identity.code_digest() != own


def test_other_code_is_another_identity(monkeypatch, tmp_path):
    package = tmp_path / "sam_pod"
    package.mkdir()
    (package / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(sam_pod, "__file__", str(package / "__init__.py"))
    before = identity.code_digest()
    assert identity.code_digest() == before
    (package / "a.py").write_text("x = 2\n")
    assert identity.code_digest() != before
    own = differing()
    assert own["code"]["sam_pod"] == identity.code_digest()

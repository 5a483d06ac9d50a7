"""Packages that only some sources need."""

import os
import re

import pytest

from sam_pod import errors
from sam_pod.data.sources import extras


@pytest.mark.parametrize("lock", ["parquet.lock", "tfds.lock"])
def test_a_package_that_is_missing_is_named_with_a_lock_that_is_there(lock):
    with pytest.raises(errors.UserError, match="This source needs no_such") as e:
        extras.load("no_such_package", lock)
    path = re.search(r"--requirement (.*)`", str(e.value))[1]
    assert os.path.isfile(path)

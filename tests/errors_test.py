"""One-line errors."""

import errno
import os

import pytest
import tensorflow as tf

from sam_pod import errors


def test_lookup_names_the_key_the_choices_and_the_nearest():
    assert errors.lookup({"a": 1}, "a", "key") == 1
    with pytest.raises(errors.UserError, match=r"`key` is 'adm'.*\['adam', 'sgd'\].*"):
        errors.lookup({"adam": 1, "sgd": 2}, "adm", "key")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    ],
)
def test_storage_trouble_is_the_users(error):
    with pytest.raises(errors.UserError, match="Cannot write under /here"):  # noqa: SIM117
        with errors.storage("/here"):
            raise error


def test_other_errors_pass_through():
    with pytest.raises(KeyError), errors.storage("/here"):
        raise KeyError("No such key")

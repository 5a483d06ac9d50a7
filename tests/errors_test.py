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


FORBIDDEN = (
    "Error executing an HTTP request: HTTP response code 403 with body '{\n "
    '"error": "x does not have storage.objects.create access"\n}\''
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (tf.errors.PermissionDeniedError, "account roles/storage.objectAdmin on it"),
        (tf.errors.UnauthenticatedError, "account roles/storage.objectAdmin on it"),
        (tf.errors.NotFoundError, "check the path, the permissions and the network"),
        (tf.errors.FailedPreconditionError, "check the path"),
        (tf.errors.UnimplementedError, "check the path"),
    ],
)
def test_trouble_with_a_bucket_is_the_users(error, words):
    with pytest.raises(errors.UserError, match=words) as raised:  # noqa: SIM117
        with errors.storage("gs://bucket/run"):
            raise error(None, None, FORBIDDEN)
    assert "Cannot use gs://bucket/run (Error executing" in str(raised.value)
    assert "storage.objects.create" in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(error), errors.storage("/local"):
        raise error(None, None, FORBIDDEN)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.UnavailableError(None, None, "503"),
        tf.errors.AbortedError(None, None, "409"),
        KeyError("No such key"),
    ],
)
def test_what_passes_by_itself_goes_through(error):
    with pytest.raises(type(error)), errors.storage("gs://bucket/run"):
        raise error


def test_an_error_of_the_users_stays_as_it_is():
    with pytest.raises(errors.UserError, match=r"^No such file or directory: x$"):  # noqa: SIM117
        with errors.storage("/here"):
            raise errors.UserError("No such file or directory: x")


def test_other_errors_pass_through():
    with pytest.raises(KeyError), errors.storage("/here"):
        raise KeyError("No such key")

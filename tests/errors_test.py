"""One-line errors."""

import errno
import os

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.storage import faults


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
        with faults.explained("/here"):
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
        with faults.explained("gs://bucket/run"):
            raise error(None, None, FORBIDDEN)
    assert "Cannot use gs://bucket/run (Error executing" in str(raised.value)
    assert "storage.objects.create" in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(error), faults.explained("/local"):
        raise error(None, None, FORBIDDEN)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.UnavailableError(None, None, "503 with\n a body"),
        tf.errors.AbortedError(None, None, "503 with a body"),
        tf.errors.InternalError(None, None, "503 with a body"),  # s3://.
        tf.errors.UnknownError(None, None, "503 with a body"),
    ],
)
def test_what_may_pass_by_itself_is_a_loss_of_storage(error):
    with (
        pytest.raises(faults.StorageLost) as raised,
        faults.explained("gs://bucket/run"),
    ):
        raise error
    assert str(raised.value) == "gs://bucket/run has failed for 0 s: 503 with a body"
    with pytest.raises(type(error)), faults.explained("/here"):
        raise error


def test_what_is_not_of_storage_goes_through():
    with pytest.raises(KeyError), faults.explained("gs://bucket/run"):
        raise KeyError("No such key")


@pytest.mark.parametrize(
    ("path", "action", "words"),
    [
        ("gs://b/x", "list", "roles/storage.objectViewer"),
        ("gs://b/x", "delete", "roles/storage.objectAdmin"),
        ("s3://b/x", "read", "the permission s3:GetObject on it"),
        ("s3://b/x", "list", "the permission s3:ListBucket on it"),
        ("s3://b/x", "write", "the permission s3:PutObject on it"),
        ("s3://b/x", "delete", "the permission s3:DeleteObject on it"),
        ("az://a/c/x", "write", "the right to write it"),
    ],
)
def test_the_right_that_is_missing_is_named(monkeypatch, path, action, words):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    refused = tf.errors.PermissionDeniedError(None, None, "AccessDenied: no")
    assert words in faults.remote(path, refused, action)


def test_missing_credentials_are_named(monkeypatch, tmp_path):
    for name in ("ACCESS_KEY_ID", "PROFILE", "WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    refused = tf.errors.PermissionDeniedError(None, None, "AccessDenied: no")
    line = faults.remote("s3://b/x", refused, "read")
    assert "to read it needs credentials, and there are none" in line
    assert "AWS_ACCESS_KEY_ID" in line


def test_an_error_of_the_users_stays_as_it_is():
    with pytest.raises(errors.UserError, match=r"^No such file or directory: x$"):  # noqa: SIM117
        with faults.explained("/here"):
            raise errors.UserError("No such file or directory: x")


def test_other_errors_pass_through():
    with pytest.raises(KeyError), faults.explained("/here"):
        raise KeyError("No such key")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("403 AuthorizationFailure", errors.UserError, "the right to list it"),
        ("404 ContainerNotFound", errors.UserError, "check the path"),
        ("503 ServerBusy", faults.StorageLost, "has failed"),
    ],
)
def test_what_azure_answers_is_told_from_its_words(status, kind, words):
    """Its client calls everything an internal error."""
    error = tf.errors.InternalError(None, None, f"Failed to get x (Status: {status} y)")
    with pytest.raises(kind, match=words), faults.explained("az://a/c/x", "list"):
        raise error

"""What an error of storage means, and what helps: one line."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

from sam_pod import errors, redaction


class StorageLost(Exception):
    """Remote storage kept failing: the run is left as it is, to be continued."""

    def __init__(self, path: str, error: Exception, seconds: float) -> None:
        super().__init__(
            f"{redaction.redact(path)} has failed for {seconds:.0f} s: "
            f"{errors.reason(error)}"
        )


@contextlib.contextmanager
def explained(path: str, action: str = "write") -> Iterator[None]:
    """Turn trouble with what is stored under `path` into an error of ours.

    For a local path that is a full disk or a missing right while writing, which
    TensorFlow and Python report by different types, both in the operating system's
    words. For a remote path, trouble that does not pass by itself is a UserError, and
    the rest StorageLost.

    Args:
        path: The path of a file or a folder.
        action: What was refused, as in `remote`.
    """
    try:
        yield
    except (errors.UserError, StorageLost):
        raise
    except Exception as error:
        if "://" in path:
            if errors.type_names(error) & _LASTING or _azure_status(error):
                raise errors.UserError(remote(path, error, action)) from error
            if is_transient(error):
                raise StorageLost(path, error, 0) from error
            raise
        words = _disk_words(error)
        if not words:
            raise
        raise errors.UserError(
            f"Cannot write under {path}: {words}. Fix that and run the same command "
            "again; what was saved before is intact."
        ) from error


def remote(path: str, error: Exception, action: str) -> str:
    """Return in one line why a remote path cannot be used, and what helps.

    Args:
        path: The path to name; a local one will do.
        error: TensorFlow's error.
        action: What was refused: 'read', 'list', 'write' or 'delete'.
    """
    if is_refused(error):
        remedy = _permission(path, action)
    elif "://" in path:
        remedy = "check the path, the permissions and the network"
    else:
        remedy = "check the path and the permissions"
    return f"Cannot use {redaction.redact(path)} ({errors.reason(error)}): {remedy}."


def is_of_disk(error: Exception) -> bool:
    """Return whether an error is the local disk's, by the operating system's words."""
    return bool(_disk_words(error))


def _disk_words(error: Exception) -> str:
    return next((words for words in _STORAGE_TROUBLE if words in str(error)), "")


def is_refused(error: Exception) -> bool:
    """Return whether a right is missing."""
    return bool(errors.type_names(error) & _REFUSED) or _azure_status(error) in (
        "401",
        "403",
    )


def is_transient(error: Exception) -> bool:
    """Return whether TensorFlow's file systems may not raise this a moment later."""
    passes = bool(
        errors.type_names(error) & _TRANSIENT
    ) and not errors.is_out_of_memory(error)
    return passes and not _azure_status(error)


def _azure_status(error: Exception) -> str:
    """Return the 4xx that a client for az:// got, which raises it as InternalError."""
    found = re.search(r"\(Status: (4\d\d) ", str(error))
    return found[1] if found else ""


def _permission(path: str, action: str) -> str:
    scheme = path.partition("://")[0]
    if scheme == "gs":
        role = "objectViewer" if action in ("read", "list") else "objectAdmin"
        return f"give this machine's service account roles/storage.{role} on it"
    if scheme == "s3":
        if not _has_s3_credentials():
            return (
                f"to {action} it needs credentials, and there are none: set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        return f"give these credentials the permission {_S3_PERMISSIONS[action]} on it"
    return f"give these credentials the right to {action} it"


def _has_s3_credentials() -> bool:
    """Return whether something says where credentials come from."""
    variables = (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    default = os.path.expanduser("~/.aws/credentials")
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", default)
    return any(map(os.environ.get, variables)) or os.path.exists(file)


_S3_PERMISSIONS = {
    "read": "s3:GetObject",
    "list": "s3:ListBucket",
    "write": "s3:PutObject",
    "delete": "s3:DeleteObject",
}


_REFUSED = {"PermissionDeniedError", "UnauthenticatedError"}


# An answer of 5xx and a broken connection are the last two in the client for s3://.
_TRANSIENT = {
    "UnavailableError",
    "AbortedError",
    "DeadlineExceededError",
    "ResourceExhaustedError",
    "InternalError",
    "UnknownError",
}


_LASTING = _REFUSED | {
    "AlreadyExistsError",
    "FailedPreconditionError",
    "InvalidArgumentError",
    "NotFoundError",
    "UnimplementedError",
}


_STORAGE_TROUBLE = (
    *(
        os.strerror(code)
        for code in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
            errno.EROFS,
            errno.EACCES,
            errno.EPERM,
            errno.ENOTDIR,
            errno.EEXIST,
            errno.EISDIR,
            errno.ENOENT,
        )
    ),
    "is not a directory",  # TensorFlow's own words.
)

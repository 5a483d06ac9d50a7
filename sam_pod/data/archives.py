"""What is asked of a file or a tar archive before its content is trusted."""

import hashlib
import posixpath
import tarfile

from sam_pod import errors


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file.

    Raises:
        UserError: it cannot be read.
    """
    checksum = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                checksum.update(block)
    except OSError as error:
        raise unreadable(path, error) from error
    return checksum.hexdigest()


def unreadable(path: str, error: Exception) -> errors.UserError:
    """Return the error for a source that cannot be read."""
    reason = getattr(error, "strerror", None) or error
    return errors.UserError(
        f"Cannot read {path} ({reason}): check the path, its permissions and, for an "
        "archive, that its download was complete."
    )


def member_path(archive: str, member: tarfile.TarInfo) -> str:
    """Return the path of a member within its archive, without './'.

    Nothing is ever unpacked; such an archive is no data set that anyone published.

    Raises:
        UserError: the path leaves the archive's folder, or it is no file or folder.
    """
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        raise errors.UserError(
            f"{archive} has a member {member.name!r} that escapes its folder; a path "
            "must be relative and without '..'. Do not use this archive."
        )
    if not member.isfile() and not member.isdir():
        raise errors.UserError(
            f"{archive} has a member {member.name!r} that is a link or a device; only "
            "files and folders are read. Pack it again with `tar --dereference`."
        )
    return posixpath.normpath(member.name)

"""Which file systems there are, and whether what serves a path answers.

gs:// is built into TensorFlow. tensorflow-io brings s3://, http(s)://, az:// and
hdfs://; it is imported only for a path of theirs, because it is large and because its
client for s3:// can abort the process at Python's exit: see `command.leave`.
"""

import functools
import importlib.util
import os
import re
import socket
import urllib.parse
import urllib.request
import warnings

from sam_pod import errors, redaction

READ_ONLY = ("http", "https")
PROBE_SECONDS = 5.0

_PLUGINS = ("s3", "http", "https", "az", "hdfs", "viewfs", "har", "oss")
_HADOOP = ("hdfs", "viewfs", "har")
_PORTS = {"hdfs": 8020, "http": 80, "https": 443}
# Half a minute without a byte is a failure; the default is five minutes. Trying again
# is done here, with a line in the log: by default the client makes eleven attempts in
# 25 s, and four times as many to write.
_S3_DEFAULTS = {
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "3",
    "S3_REQUEST_TIMEOUT_MSEC": "30000",
    "S3_CONNECT_TIMEOUT_MSEC": "10000",
}


def scheme_of(path: str) -> str:
    """Return the scheme of a remote path; '' of a local one."""
    return path.partition("://")[0] if "://" in path else ""


def check(path: str, name: str) -> None:
    """Refuse a remote path that cannot be served from here; load what serves it.

    Args:
        path: A remote path.
        name: The flag or the key that has this value.

    Raises:
        UserError: the path carries credentials, is of no known file system or one that
            this environment has not, or nobody answers where it leads.
    """
    check_credentials(path, name)
    scheme = scheme_of(path)
    if scheme in _PLUGINS:
        # Before the import, which takes seconds.
        _check_form(path, name)
        _check_is_installed(scheme, path, name)
        if where := endpoint(path):
            _check_answers(where, path, name)
        _load()
    import tensorflow as tf

    if scheme in _HADOOP:
        _check_hadoop(path, name)
    known = sorted(known for known in tf.io.gfile.get_registered_schemes() if known)
    if scheme not in known:
        raise errors.UserError(
            f"{name} is {path}, and TensorFlow knows no file system {scheme!r} here; "
            f"it knows {', '.join(f'{each}://' for each in known)} and local folders."
        )


def check_credentials(value: str, name: str) -> None:
    """Refuse a URL with a user or a query, which would be written where others read.

    Raises:
        UserError: naming where credentials belong.
    """
    if redaction.has_credentials(value):
        raise errors.UserError(
            f"{name} is {redaction.redact(value)}, which carries credentials or a "
            "query; leave them out and set them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, TF_AZURE_STORAGE_KEY, "
            "GOOGLE_APPLICATION_CREDENTIALS)."
        )


def endpoint(path: str) -> tuple[str, int] | None:
    """Return (host, port) that must answer for a path, if that is known.

    Raises:
        UserError: S3_ENDPOINT is no URL.
    """
    url = _split(path)
    scheme = url.scheme
    if scheme == "s3":
        return _s3_endpoint()
    if scheme in READ_ONLY:
        proxies = urllib.request.getproxies()
        if scheme in proxies and not urllib.request.proxy_bypass(url.netloc):
            proxy = proxies[scheme]
            return _host_and_port(proxy if "://" in proxy else f"http://{proxy}")
        return _host_and_port(path)
    if scheme == "az":
        if "TF_AZURE_USE_DEV_STORAGE" in os.environ:
            return "127.0.0.1", 10000
        suffix = ".blob.core.windows.net"
        host = f"{url.netloc.removesuffix(suffix)}{suffix}"
        given = os.environ.get("TF_AZURE_STORAGE_BLOB_ENDPOINT", host)
        plain = "TF_AZURE_STORAGE_USE_HTTP" in os.environ
        default = "http" if plain else "https"
        return _host_and_port(given if "://" in given else f"{default}://{given}")
    if scheme == "hdfs" and url.hostname and url.netloc != "default":
        return _host_and_port(path)
    return None


def _s3_endpoint() -> tuple[str, int] | None:
    given = os.environ.get("S3_ENDPOINT", "")
    if given and not re.match(r"https?://[^/]", given):
        shown = redaction.redact(given)
        raise errors.UserError(
            f"S3_ENDPOINT is {shown!r}, without its scheme: set it to http://{shown} "
            f"or https://{shown}."
        )
    if given:
        return _host_and_port(given)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return f"s3.{region}.amazonaws.com" if region else "s3.amazonaws.com", 443


def _host_and_port(url: str) -> tuple[str, int]:
    parts = _split(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme, 443)
    except ValueError:
        raise _no_address(url) from None
    if not parts.hostname:
        raise _no_address(url)
    return parts.hostname, port


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:  # Brackets hold no IPv6 address.
        raise _no_address(url) from None


def _no_address(url: str) -> errors.UserError:
    scheme = scheme_of(url) or "https"
    return errors.UserError(
        f"{redaction.redact(url)} is not an address: it must look like "
        f"{scheme}://HOST or {scheme}://HOST:PORT."
    )


def _check_form(path: str, name: str) -> None:
    scheme = scheme_of(path)
    parts = [part for part in path.partition("://")[2].split("/") if part]
    form = {
        "s3": (2, "s3://BUCKET/FOLDER"),
        "az": (3, "az://ACCOUNT/CONTAINER/FOLDER"),
    }
    least, example = form.get(scheme, (1, f"{scheme}://HOST/FOLDER"))
    if len(parts) < least:
        raise errors.UserError(f"{name} is {path}; it must look like {example}.")


def _check_is_installed(scheme: str, path: str, name: str) -> None:
    """Refuse what tensorflow-io serves where it is not: it is for one TensorFlow."""
    if importlib.util.find_spec("tensorflow_io") is None:
        raise errors.UserError(
            f"{name} is {path}, and this environment has no tensorflow-io, which "
            f"serves {scheme}://: copy or mount it as a local folder, take gs://, or "
            "train by TensorFlow in the environment of requirements.lock, which has "
            "it (bash launch/local.sh)."
        )


def _check_answers(where: tuple[str, int], path: str, name: str) -> None:
    reason = _silence(*where)
    if reason:
        host, port = where
        hint = ""
        if scheme_of(path) == "s3":
            hint = (
                " and S3_ENDPOINT"
                if "S3_ENDPOINT" in os.environ
                else ("; for another service than Amazon's set S3_ENDPOINT")
            )
        raise errors.UserError(
            f"{name} is {path}, but {host}:{port} does not answer ({reason}): check "
            f"the network{hint}."
        )


def _check_hadoop(path: str, name: str) -> None:
    import tensorflow as tf

    # The first call loads the client, and only the second reports that it could not.
    tf.io.gfile.exists(path)
    try:
        tf.io.gfile.stat(path)
    except tf.errors.OpError as error:
        if "not initialized" in str(error):
            raise errors.UserError(
                f"{name} is {path}, and Hadoop's client cannot be loaded "
                f"({errors.reason(error)}): install Java and Hadoop here, and set "
                "JAVA_HOME, HADOOP_HDFS_HOME, and CLASSPATH as `hadoop classpath "
                "--glob` prints it."
            ) from error


@functools.cache
def _silence(host: str, port: int) -> str:
    """Return why nobody answers there; '' when somebody does."""
    try:
        socket.create_connection((host, port), PROBE_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    except UnicodeError:  # A part of a name is empty, or longer than 63 letters.
        return "that is no name of a host"
    return ""


@functools.cache
def _load() -> None:
    for key, value in _S3_DEFAULTS.items():
        os.environ.setdefault(key, value)
    # The other way to read takes the text of a 500 for content of the file if a further
    # attempt succeeds. This way must be asked only for what is there: objects.py does
    # so.
    os.environ["S3_DISABLE_MULTI_PART_DOWNLOAD"] = "1"
    with warnings.catch_warnings():
        # TensorFlow and tensorflow-io that do not fit warn, and `check` says so.
        warnings.simplefilter("ignore")
        import tensorflow_io  # noqa: F401

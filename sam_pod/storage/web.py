"""Files behind a URL, asked for without TensorFlow's client.

That one knows no size without the content, and takes a server that does not answer for
one that has no such file.
"""

import contextlib
import http.client
import urllib.error
import urllib.request

from sam_pod import errors
from sam_pod.storage import schemes

_SECONDS = 30.0


def is_http(path: str) -> bool:
    """Return whether a path is behind http:// or https://."""
    return schemes.scheme_of(path) in schemes.READ_ONLY


def num_bytes(path: str) -> int:
    """Return the bytes of a file.

    Raises:
        UserError: the server does not say.
    """
    length = ask(path, "HEAD").headers["Content-Length"]
    if length is None:
        raise errors.UserError(
            f"The server of {path} does not say how long it is: use one that sends "
            "Content-Length, such as nginx."
        )
    return int(length)


def ask(path: str, method: str, **headers: str) -> http.client.HTTPResponse:
    """Return the head of an answer; raise what TensorFlow's client raises.

    Raises:
        UserError: no later answer will be another.
    """
    import tensorflow as tf

    request = urllib.request.Request(path, method=method, headers=headers)
    kinds = {
        401: tf.errors.PermissionDeniedError,
        403: tf.errors.PermissionDeniedError,
        404: tf.errors.NotFoundError,
    }
    try:
        with contextlib.closing(
            urllib.request.urlopen(request, timeout=_SECONDS)
        ) as answer:
            return answer
    except urllib.error.HTTPError as error:
        lasts = error.code not in (*kinds, 408, 429) and 400 <= error.code < 500
        if lasts:
            raise errors.UserError(
                f"The server of {path} refuses it with HTTP {error.code}: check the "
                "address."
            ) from error
        kind = kinds.get(error.code, tf.errors.UnavailableError)
        raise kind(None, None, f"HTTP {error.code} for {path}") from error
    except (http.client.InvalidURL, UnicodeError) as error:
        raise errors.UserError(
            f"{path} is no address: write its spaces and letters beyond ASCII as %20 "
            "and the like."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise tf.errors.UnavailableError(None, None, f"{path}: {error}") from error

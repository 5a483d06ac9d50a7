"""Facts about a data set that were found once and are kept for the next time.

They lie in `.sam_pod` beside the data or, if that cannot be written, in the user's
cache folder.
"""

import hashlib
import json
import os
import zlib
from typing import Any

import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.storage import files

FOLDER = ".sam_pod"


def read(directory: str, kind: str) -> Any:
    """Return the value that `write` kept for this kind; None when there is none."""
    for path in _places(directory, kind):
        try:
            found = files.parse_json(files.read(path) or "")
            text = found["value"]
            if zlib.crc32(text.encode()) == found["crc32"]:
                return json.loads(text)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue  # Nothing there, or nothing that can be used.
        except (tf.errors.OpError, errors.UserError):
            continue
    return None


def write(directory: str, kind: str, value: Any) -> None:
    """Keep a value that JSON can hold; when that is impossible, say so."""
    reasons, text = [], json.dumps(value)
    text = json.dumps({"value": text, "crc32": zlib.crc32(text.encode())})
    for path in _places(directory, kind):
        try:
            files.make_folders(os.path.dirname(path))
            files.write(path, text)
            return
        except (OSError, tf.errors.OpError, errors.UserError) as error:
            reasons.append(f"{path}: {errors.reason(error)}")
    logging.warning(
        "What was found out about %s cannot be kept (%s).",
        directory,
        "; ".join(reasons),
    )


def _places(directory: str, kind: str) -> list[str]:
    name = f"{hashlib.sha256(kind.encode()).hexdigest()[:16]}.json"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    whole = directory if files.is_remote(directory) else os.path.realpath(directory)
    own = hashlib.sha256(whole.encode()).hexdigest()[:16]
    return [
        os.path.join(directory, FOLDER, name),
        os.path.join(cache, "sam_pod", own, name),
    ]

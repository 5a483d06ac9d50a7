"""Keep credentials out of all that is written: logs, errors, configs, event files."""

import contextlib
import os
import re
import sys

HIDDEN = "[hidden]"

# A secret may have a slash or an @ in it, so it ends with the last @ of an address; a
# slash comes before one only behind a colon that is no port's.
_USER = re.compile(r"(?<=://)(?:[^/\s'\"@:]+:(?!\d+(?:/|$))[^\s'\"]*|[^/\s'\"]+)@")
_QUERY = re.compile(r"(\b[\w+.-]+://[^\s'\"?]*)\?[^\s'\"]+")
_PARAMETER = re.compile(
    r"\b(X-Amz-[\w-]+|AWSAccessKeyId|Credential|Signature|sig|AccountKey|"
    r"SharedAccessSignature)(=|: ?)[^\s&,;'\"]+",
    re.IGNORECASE,
)
# Variables of the environment from which the file systems read their credentials.
_VARIABLE = re.compile(
    r"AWS_\w*(KEY|TOKEN)\w*|TF_AZURE_STORAGE_\w*(KEY|SAS)|GOOGLE_AUTH_TOKEN\w*"
)
_SHORTEST = 8  # A value below it could be any word.


def redact(text: str) -> str:
    """Return the text without credentials in URLs or from the environment."""
    text = _USER.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1?{HIDDEN}", text)
    text = _PARAMETER.sub(rf"\1\2{HIDDEN}", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _VARIABLE.fullmatch(name):
            text = text.replace(value, HIDDEN)
    return text


def has_credentials(url: str) -> bool:
    """Return whether a URL names a user, or has a query, as signed ones have."""
    return bool(_USER.search(url) or _QUERY.search(url))


def tell(text: str) -> None:
    """Write to stderr without credentials; its reader may be gone."""
    with contextlib.suppress(OSError):
        sys.stderr.write(redact(text))
        sys.stderr.flush()

"""Print what uv needs to install from where pip does, as lines that a shell evaluates.

    eval "$(python launch/mirror.py)"

pip reads its configuration files and PIP_...; uv knows neither. Settings that the user
made for uv itself stay. Any Python with pip can run this; the lines hold passwords, so
give them to eval alone. The trainer imports nothing from here.
"""

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping

# uv asks the first index that has a package, pip all: with hashes, both are safe.
_BEST = "unsafe-best-match"
# uv's variables by pip's option; the user may have set any of them already.
_LISTS = {
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
}
_ONES = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
    "keyring-provider": ("UV_KEYRING_PROVIDER",),
}
_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SECTIONS = ("global", "install", ":env:")  # The last one counts.


def options() -> dict[str, str]:
    """Return pip's options by name, from its files and the environment."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    # The environment counts even if pip does not answer.
    found = {
        (":env:", name.removeprefix("PIP_").replace("_", "-").lower()): value
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    }
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        try:
            text = str(ast.literal_eval(value))
        except (SyntaxError, ValueError):
            continue
        found[section, name.replace("_", "-").lower()] = text
    merged = {
        name: found[section, name]
        for section in _SECTIONS
        for where, name in found
        if where == section
    }
    if "timeout" in merged:
        merged["default-timeout"] = merged.pop("timeout")
    return merged


def variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return uv's environment variables for pip's options.

    Args:
        pip: pip's options by name.
        environment: The process's variables; settings for uv among them stay.
    """
    found = {}
    for name, (variable, *others) in {**_ONES, **_LISTS}.items():
        words = pip.get(name, "").split()
        if words and not any(environment.get(v) for v in (variable, *others)):
            # UV_FIND_LINKS and UV_INSECURE_HOST may be divided by commas only.
            between = " " if variable == "UV_INDEX" else ","
            found[variable] = between.join(words)
    if found.get("UV_KEYRING_PROVIDER") not in (None, "disabled", "subprocess"):
        del found["UV_KEYRING_PROVIDER"]  # uv knows no other.
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        found["UV_OPTIONS"] = "--no-index"  # Not uv's own: environment.sh gives it.
    if "UV_INDEX" in found and not environment.get("UV_INDEX_STRATEGY"):
        found["UV_INDEX_STRATEGY"] = _BEST
    bundle = next((environment[n] for n in _BUNDLES if environment.get(n)), "")
    if bundle and not environment.get("SSL_CERT_FILE"):
        found.setdefault("SSL_CERT_FILE", bundle)
    if pip.get("proxy"):
        found.update(dict.fromkeys(_PROXIES, pip["proxy"]))
    return found


if __name__ == "__main__":
    for name, value in variables(options(), os.environ).items():
        print(f"export {name}={shlex.quote(value)}")

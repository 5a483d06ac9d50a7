"""The project's own folder, and what of it is shipped."""

import pathlib

ROOT = pathlib.Path(__file__).parent.parent
# What is shipped, as it is in the working folder, with changes that are not committed.
SHIPPED = (
    *("sam_pod", "launch", "configs", "pyproject.toml"),
    *("requirements.lock", "requirements-pjrt.lock"),
)

"""How much memory this machine has."""

import os

_LIMITS = (
    "/sys/fs/cgroup/memory.max",  # A container's limit.
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",  # Likewise, in older kernels.
)


def total_bytes() -> int:
    """Return the most bytes that this process may have."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        try:
            with open(path, encoding="ascii") as file:
                found.append(int(file.read()))
        except (OSError, ValueError):  # No such file, or 'max'.
            continue
    return min(found)

"""Files among images that are none: recognized by their names, and left out.

Systems leave some (`.DS_Store`, `Thumbs.db`, `__MACOSX`), people others (a README, a
checksum). Tables and texts stay in a listing, for they may say labels.
"""

import os

# In lower case. Nothing in these folders is part of a data set.
_FOLDERS = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information"}
    | {"__pycache__"}
)
# In these an image may have been lost.
_DOUBTFUL = frozenset({"__macosx", "lost+found"})
_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
    | {"_success", "md5sum", "md5sums", "sha1sums", "sha256sums", "sha512sums"}
    | {"checksum", "checksums", "makefile", "dockerfile", "picasa.ini"}
)
_STEMS = frozenset(
    {"readme", "license", "licence", "copying", "notice", "changelog", "changes"}
    | {"authors", "citation", "version", "disclaimer", "terms"}
)
_SUFFIXES = frozenset(
    {".md5", ".sha1", ".sha256", ".sha512", ".sfv", ".crc", ".asc", ".sig", ".log"}
    | {".py", ".pyc", ".ipynb", ".sh", ".bat", ".m", ".r", ".cfg", ".ini", ".toml"}
    | {".pdf", ".doc", ".docx", ".odt", ".rtf", ".tex", ".bib", ".xls", ".xlsx", ".ods"}
    | {".url", ".lnk", ".webloc", ".torrent", ".db", ".css", ".js", ".rst", ".names"}
)
TEXTS = frozenset(
    {".csv", ".tsv", ".txt", ".json", ".jsonl", ".xml", ".md", ".html", ".htm"}
    | {".yaml", ".yml", ".mat"}
)
IMAGES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif"}
    | {".jp2", ".j2k", ".jxl", ".tga", ".ico", ".apng"}
)
PACKED = frozenset(
    {".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".rar", ".7z", ".iso"}
    | {".gz", ".bz2", ".xz", ".zst", ".z", ".lz4", ".lz", ".lzma", ".cpio"}
)


def is_folder(path: str) -> bool:
    """Return whether what lies in a folder is no part of a data set."""
    parts = path.lower().split("/")
    return any(p.startswith(".") or p in _FOLDERS or p in _DOUBTFUL for p in parts)


def kind(name: str) -> str:
    """Return what a file is by its name: 'litter', 'text', 'packed', or 'image'.

    Args:
        name: The name without folders. One without a known ending may be an image.
    """
    if name.startswith("."):
        return "litter"
    lower = name.lower()
    stem, suffix = os.path.splitext(lower)
    if suffix in IMAGES:
        return "image"
    if suffix in _SUFFIXES or lower in _NAMES or stem in _STEMS:
        return "litter"
    if suffix in TEXTS:
        return "text"
    return "packed" if suffix in PACKED else "image"


def hides(path: str) -> bool:
    """Return whether what is to be left out may be an image that was lost.

    Args:
        path: The path of a file in a folder for which `is_folder` holds.
    """
    parts = path.lower().split("/")
    if any(part.startswith(".") or part in _FOLDERS for part in parts):
        return False
    return os.path.splitext(parts[-1])[1] in IMAGES

#!/usr/bin/env bash
# Pillow: an image that was saved as MPO can no longer be saved as a TIFF of pages.
#
# Seen with Pillow 12.0.0: saving with save_all and append_images as MPO leaves settings
# of its JPEG encoder in `Image.encoderconfig`; the same object saved as a TIFF of two
# pages then raises "TypeError: function takes at most 4 arguments (18 given)". Copies
# of the images are saved without trouble. Exits with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==12.0.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import io

import PIL.Image

image, other = PIL.Image.new("RGB", (20, 12)), PIL.Image.new("RGB", (20, 12))


def save(kind, image, other):
    image.save(io.BytesIO(), kind, save_all=True, append_images=[other])


save("TIFF", image, other)
save("MPO", image, other)
save("TIFF", image.copy(), other.copy())
try:
    save("TIFF", image, other)
except TypeError as error:
    print("Pillow", PIL.__version__, repr(error))
    assert "function takes at most 4 arguments" in str(error)
else:
    raise SystemExit("It is saved: this has changed.")
PYTHON

#!/usr/bin/env bash
# Writing a SavedModel turns off a program's own log. While it lists what an object has,
# tf.saved_model.save quiets absl's logger and puts back the level of absl's flag, not the
# level that the logger had (AutoTrackable._trackable_children). A program that asked for
# INFO by Python's own logging, which absl's logger follows until then, loses every line of
# absl below a warning from its first export on, and nothing says so. Keras' model.export
# writes one. A program that calls absl.logging.set_verbosity, which sets the flag, is
# spared.
# Seen with tensorflow-cpu 2.21.0 and 2.16.2 and absl-py 2.3.1. Exits with 0 while the
# logger's level is NOTSET (0) before, WARNING (30) after, and INFO (20) after where the
# flag says INFO.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
cat > "$folder/saves.py" <<'EOF'
import logging
import sys

import tensorflow as tf
from absl import logging as absl_logging

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
levels = []


def save(folder):
    absl_logging.info("before %s", folder)
    levels.append(logging.getLogger("absl").level)
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    tf.saved_model.save(module, folder)
    levels.append(logging.getLogger("absl").level)
    absl_logging.info("after %s", folder)


save(sys.argv[1] + "/first")
absl_logging.set_verbosity(absl_logging.INFO)
save(sys.argv[1] + "/second")
print(tf.__version__, levels)
assert levels == [0, 30, 20, 20]
EOF
for version in 2.21.0 2.16.2; do
  "$folder/venv/bin/pip" install --quiet "tensorflow-cpu==$version" absl-py==2.3.1
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/saves.py" "$folder/$version" \
    > "$folder/log"
  sed "s#$folder/##" "$folder/log"
  grep -q "before .*first" "$folder/log"
  if grep -q "after .*first" "$folder/log"; then exit 1; fi
  grep -q "after .*second" "$folder/log"
done

#!/usr/bin/env bash
# The order in which tf.add_n adds three tensors depends on who else reads them. On a CPU
# its kernel takes the buffer of the first tensor that nobody else holds at that moment for
# the result, and begins with that tensor: (a + b) + c, or (c + b) + a where a and b are
# read elsewhere, too. Where the other readers are in a race with it, in a step of training,
# one program gives other bits in each run, and equal replicas differ, also with
# enable_op_determinism. TensorFlow's graph optimizer makes such sums itself: a chain of +
# of tensors of one shape becomes one AddN. Sums of two, and of tensors that nobody else
# reads, are not affected; a sum that waits for an unrelated tensor (control_dependencies)
# is left as it was written.
# Seen with tensorflow-cpu 2.21.0 and 2.16.2: 0 or 1 for the sum of 1, 1e8 and -1e8 in
# float32, by whether the function returns the first two as well; by + as by add_n. Exits
# with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
cat > "$folder/sums.py" <<'EOF'
import tensorflow as tf

tf.config.experimental.enable_op_determinism()
NUMBERS = [1.0, 1e8, -1e8]


def summed(add, *, returned):
    """Return the sum in a function that returns so many of the numbers, too."""

    @tf.function(autograph=False)
    def function(tensors):
        # Made here: what a function is given is held by its caller.
        terms = [tensor * 2.0 for tensor in tensors]
        return add(terms), terms[:returned]

    return float(function([tf.fill([4], n / 2) for n in NUMBERS])[0][0])


def plus(terms):
    return terms[0] + terms[1] + terms[2]


def waiting(terms):
    with tf.control_dependencies([terms[2]]):
        first = terms[0] + terms[1]
    return first + terms[2]


found = {
    name: [summed(add, returned=count) for count in (0, 2)]
    for name, add in (("add_n", tf.add_n), ("+", plus), ("waiting", waiting))
}
print(tf.__version__, found, flush=True)
assert found == {"add_n": [0.0, 1.0], "+": [0.0, 1.0], "waiting": [0.0, 0.0]}, found
EOF
for version in 2.21.0 2.16.2; do
  "$folder/venv/bin/pip" install --quiet "tensorflow-cpu==$version"
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/sums.py"
done

#!/usr/bin/env bash
# tf.nn.moments gives a wrong second derivative. It computes the variance around a mean
# that it takes for a constant (tf.stop_gradient). The first derivative is right all the
# same, as the sum of squares around a mean does not change to first order when the mean
# moves. The second derivative of the variance of [x, 0] is 2 / n - 2 / n^2 = 1/2; with the
# mean held it comes out as 2 / n = 1. What is built of moments is wrong with it: Keras'
# BatchNormalization in training and GroupNormalization, so Hessian-vector products, and
# what is computed of them (sharpness, eigenvalues, second-order optimizers), are off.
# Seen with tensorflow-cpu 2.16.2: variance 2.25, first derivative 1.5 in both ways, second
# 1.0 by tf.nn.moments and 0.5 by the variance written out. Exits with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow-cpu==2.16.2 'numpy<2' 'setuptools<81'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'EOF'
import tensorflow as tf


def written_out(x):
    return tf.reduce_mean((x - tf.reduce_mean(x)) ** 2)


def derivatives(variance):
    x = tf.Variable(3.0)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            value = variance(tf.stack([x, 0.0]))
        first = inner.gradient(value, x)
    return [float(v) for v in (value, first, outer.gradient(first, x))]


theirs = derivatives(lambda x: tf.nn.moments(x, [0])[1])
right = derivatives(written_out)
print("tf.nn.moments: variance, first and second derivative", theirs)
print("written out:   variance, first and second derivative", right)
assert theirs == [2.25, 1.5, 1.0], theirs
assert right == [2.25, 1.5, 0.5], right
EOF

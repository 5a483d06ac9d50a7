"""Paths that pods read: what the image must hold is warned of."""

import yaml

from tests.launch.gke.main_test import printed, run


def test_what_must_be_in_the_image_is_warned_of(capfd):
    code, out, err = run(
        capfd,
        "--config.data.dir=/data/digits",
        "--config.model.name=/models/a.keras",
        "--config.model.trusted_modules=installed.layers,lambda,/models/a.py",
        "--config.model.initial_weights=/runs/a",
    )
    assert code == 0
    assert yaml.safe_load(out)
    warned = [
        f"Warning: `{key}` is {path}: the image must hold the {what} there."
        for key, path, what in (
            ("data.dir", "/data/digits", "data"),
            ("model.name", "/models/a.keras", "model"),
            ("model.initial_weights", "/runs/a", "weights"),
            ("model.trusted_modules", "/models/a.py", "module"),
        )
    ]
    assert err.splitlines() == warned
    printed(
        capfd,
        "--config.model.name=gs://bucket/a.keras",
        "--config.model.initial_weights=gs://bucket/run",
    )

"""Plateau, early stopping and the best epoch against Keras' callbacks."""

import keras
import numpy as np
import pytest

from sam_pod.step import progress

RULE = {"plateau_factor": 0.5, "plateau_patience": 3, "plateau_min_delta": 1e-4}


def losses(seed):
    """A loss that falls, stalls and rises, as validation losses do."""
    rng = np.random.default_rng(seed)
    trend = np.concatenate([np.linspace(2, 1, 15), np.linspace(1, 1.1, 25)])
    return (trend + rng.normal(size=40) * 0.05).astype(np.float32)


@pytest.mark.parametrize("min_delta", [1e-4, 0.04])
@pytest.mark.parametrize("seed", range(5))
def test_equals_keras_callbacks(seed, min_delta):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    rule = {**RULE, "plateau_min_delta": min_delta}
    plateau = keras.callbacks.ReduceLROnPlateau(
        factor=0.5, patience=3, min_delta=min_delta
    )
    stopping = keras.callbacks.EarlyStopping(patience=10)
    for callback in (plateau, stopping):
        callback.set_model(model)
        callback.on_train_begin()
    record = progress.Progress()
    reductions = 0
    for epoch, loss in enumerate(losses(seed)):
        record = progress.after_validation(record, float(loss), 0.5, **rule)
        for callback in (plateau, stopping):
            callback.on_epoch_end(epoch, {"val_loss": float(loss)})
        rate = float(model.optimizer.learning_rate.numpy())
        reductions += record.learning_rate_scale != 1.0
        assert record.learning_rate_scale == rate
        assert progress.should_stop(record, 10) == bool(model.stop_training)
        assert record.best_epoch == stopping.best_epoch + 1
        if model.stop_training:
            break
    assert reductions
    assert model.stop_training


def test_best_epoch_keeps_its_accuracy():
    record = progress.Progress()
    for loss, accuracy in ((2.0, 0.1), (1.0, 0.6), (1.5, 0.9)):
        record = progress.after_validation(record, loss, accuracy, **RULE)
    assert (record.best_loss, record.best_epoch) == (1.0, 2.0)
    assert record.best_accuracy == np.float32(0.6)
    assert record.last_accuracy == np.float32(0.9)
    assert not progress.is_best(record)


def test_patience_zero_never_stops():
    record = progress.Progress(best_epoch=1, validated_epochs=1000)
    assert not progress.should_stop(record, 0)
    assert progress.should_stop(record, 999)


def test_every_number_survives_float32():
    record = progress.Progress()
    for loss in losses(0):
        record = progress.after_validation(record, float(loss) / 3, 1 / 3, **RULE)
        for value in vars(record).values():
            assert float(np.float32(value)) == value

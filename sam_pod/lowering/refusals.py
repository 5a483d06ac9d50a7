"""What TensorFlow and XLA say of a model that they cannot compile, in one line."""

import re
from collections.abc import Sequence


def is_of_the_model(message: str) -> bool:
    """Return whether the model has caused an error of TensorFlow's."""
    return "Exception encountered when calling" in message or (
        "gradient registry has no entry" in message
    )


def does_not_lower(message: str) -> str:
    """Return in one line which layer and operation XLA cannot compile."""
    operation = re.search(r"(\w+) \(No registered '\w+' OpKernel", message)
    gradient = re.search(r"gradient registry has no entry for: (\w+)", message)
    node = re.search(r"\{\{node ([^}]+)\}\}", message)
    where = f" in {node[1]}" if node else ""
    message = re.sub(r"\x1b\[[\d;]*m", "", message)
    reason = " ".join(message.split())[:300]
    if gradient:
        what = f"{gradient[1]} has no gradient"
    elif operation:
        what = f"{operation[1]}{where} has no XLA kernel ({reason})"
    else:
        what = f"an operation{where} cannot be compiled ({reason})"
    return (
        f"The model does not compile for a TPU: {what}. Replace that layer, or train "
        "on CPUs and GPUs."
    )


def keeps_a_tensor(shape: Sequence[int], reader: str) -> str:
    """Return why a model whose layer reads a tensor of its own does not lower.

    Args:
        shape: The tensor's.
        reader: The name of the operation that reads it.
    """
    return (
        f"The model does not lower: {reader or 'it'} reads a tensor of shape "
        f"{tuple(shape)} that is none of its variables; make it one of the layer "
        "(`add_weight(trainable=False)`), or a NumPy array."
    )

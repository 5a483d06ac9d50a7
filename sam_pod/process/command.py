"""What all commands and launchers share: flags, exit codes, signals, the log.

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, the same
command continues; 70 a bug, with its traceback. Credentials are left out of all that is
printed. Nothing here imports TensorFlow, so a wrong flag is refused at once.
"""

import logging as python_logging
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags, logging

import sam_pod
from sam_pod import errors, redaction
from sam_pod.process import exhaustion, keras_settings, proxies, signals
from sam_pod.storage import faults

EXIT_USER_ERROR, EXIT_BUG = 1, 70
_GOES_ON = "interrupted; the same command continues"


def run(
    action: Callable[[], object], resumable: tuple[type[Exception], ...] = ()
) -> int:
    """Do what a command does, and return its exit code.

    Args:
        action: The command's work. A whole number that it returns is the exit code;
            otherwise that is 0.
        resumable: Further errors after which the same command continues.
    """
    try:
        code = _ended(action)
        sys.stdout.flush()  # What is left, while a reader that has gone is understood.
    except (errors.UserError, flags.Error) as error:
        redaction.tell(f"Error: {_one_line(error)}\n")
        return EXIT_USER_ERROR
    except resumable as error:
        redaction.tell(f"Error: {_one_line(error) or _GOES_ON}\n")
        return signals.EXIT_CODE
    except signals.Interrupted:
        return signals.EXIT_CODE
    except faults.StorageLost as error:
        redaction.tell(f"{error}. Run the same command again.\n")
        return signals.EXIT_CODE
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return EXIT_USER_ERROR
        if errors.is_out_of_memory(error):
            redaction.tell(f"Error: {exhaustion.of_this_machine(error)}\n")
            return EXIT_USER_ERROR
        redaction.tell(traceback.format_exc())
        return EXIT_BUG
    return code if type(code) is int else 0


def _ended(action: Callable[[], object]) -> object:
    try:
        return action()
    except SystemExit as ended:
        if ended.code:
            raise
        return 0  # Help was asked for, and shown.


def _nobody_reads() -> bool:
    """Return whether stdout's reader, such as `head`, has gone; print no more then."""
    try:
        stdout = sys.stdout.fileno()
        poll = select.poll()
    except (AttributeError, OSError, ValueError):  # No pipe, or a system without poll.
        return False
    poll.register(stdout, 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), stdout)
    return True


def _one_line(error: Exception) -> str:
    return " ".join(str(error).splitlines())


def run_at_once(
    action: Callable[[Callable[[], None]], object],
    advice: str = "the same command starts it again.",
) -> int:
    """Do the work of a command that a signal ends at once.

    Args:
        action: The work. It takes a function to call now and then, which raises
            KeyboardInterrupt if a signal came; any other place may raise it, too.
        advice: The sentence to print when a signal came.
    """
    interruption = signals.Interruption()

    def interruptible() -> None:
        try:
            action(interruption.raise_if_stopped)
        except (KeyboardInterrupt, Exception) as error:
            # An extension that is interrupted raises errors of its own.
            if not interruption.came:
                raise
            redaction.tell(f"Interrupted: {advice}\n")
            raise signals.Interrupted from error

    return run(interruptible)


def parse(values: flags.FlagValues, argv: list[str], help_text: str) -> None:
    """Set the flags from the command line.

    Raises:
        UserError: a flag that is unknown or has a wrong value, or what is no flag.
        SystemExit: after showing the help that was asked for.
    """
    if words := parse_with_words(values, argv, help_text):
        raise errors.UserError(
            f"{words[0]!r} is not a flag; flags look like --key=value."
        )


def parse_with_words(
    values: flags.FlagValues,
    argv: Sequence[str],
    help_text: str,
    *,
    known_only: bool = False,
) -> list[str]:
    """Set the flags from the command line, and return what is no flag.

    Args:
        values: The flags.
        argv: The command line, its command first.
        help_text: The text of the help before the flags.
        known_only: Whether flags that are not known are returned, too.

    Raises:
        UserError: a flag that is unknown or has a wrong value.
        SystemExit: after showing the help that was asked for.
    """
    if wants_help(argv):
        print(f"{help_text}{values.get_help()}")
        raise SystemExit(0)
    try:
        return values(argv, known_only=known_only)[1:]
    except flags.Error as error:
        raise errors.UserError(_in_words(error)) from error


# How Python refuses a flag's value, and what the value must be.
_REASONS = {
    "('Non-boolean argument": "true or false",
    "invalid literal for int()": "a whole number",
    "could not convert string to float": "a number",
}


def _in_words(error: flags.Error) -> str:
    """Return in one line which flag is wrong, and what it must be."""
    line = " ".join(str(error).split())
    for reason, rule in _REASONS.items():
        given, is_it, _ = line.partition(f": {reason}")
        if is_it and isinstance(error, flags.IllegalFlagValueError):
            return f"{given.removeprefix('flag ')}: it must be {rule}."
    return line


def require(values: flags.FlagValues, *names: str) -> None:
    """Refuse a command line without some flags.

    Raises:
        UserError: naming the first that is missing.
    """
    for name in names:
        if not values[name].value:
            raise errors.UserError(f"--{name} is missing; --help shows an example.")


def split_at_mark(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return what precedes the first `--`, and what follows; None where there is none.

    What follows is for another program.
    """
    if "--" not in argv:
        return list(argv), None
    at = list(argv).index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def wants_help(argv: Sequence[str]) -> bool:
    """Return whether the command line asks for help."""
    return not {"-h", "-help", "--help", "--helpshort", "--helpfull"}.isdisjoint(argv)


_NO_SAY = ("TF_USE_LEGACY_KERAS", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def set_environment(*, jax_computes: bool = False) -> None:
    """Set how TensorFlow, Keras and JAX behave, before they are imported.

    Args:
        jax_computes: Whether JAX executes the steps, and may take the devices.

    Raises:
        UserError: Keras could not be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not os.environ.get("KERAS_BACKEND"):  # Then keras.json would choose one.
        os.environ["KERAS_BACKEND"] = "tensorflow"
    # These belong to tf.keras and to Keras' own loops, which nothing here uses; but a
    # value that does not fit, or a missing package, would end in a traceback.
    for name in _NO_SAY:
        os.environ.pop(name, None)
    keras_settings.check_file()
    proxies.spare()
    if not jax_computes:  # CLU brings JAX, which must not take a device.
        os.environ["JAX_PLATFORMS"] = "cpu"


def log_to_stdout() -> None:
    """Send our log to stdout, which leaves stderr to the one line of an error."""
    package = os.path.dirname(sam_pod.__file__)
    handler = _Handler(sys.stdout)
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    # TensorFlow reports each save by the same logger; only its warnings are news.
    handler.addFilter(
        lambda record: (
            record.levelno >= python_logging.WARNING
            or record.pathname.startswith(package)
        )
    )
    python_logging.basicConfig(handlers=[handler], force=True)
    logging.set_verbosity(logging.INFO)


class _Handler(python_logging.StreamHandler):
    """Goes on where nobody reads the log any more: its pipe or terminal is closed."""

    def handleError(self, record: python_logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Formatter(python_logging.Formatter):
    """Marks warnings, and keeps credentials out of the log."""

    def formatMessage(self, record: python_logging.LogRecord) -> str:  # noqa: N802
        if record.levelno >= python_logging.WARNING:
            record.message = f"Warning: {record.message}"
        return super().formatMessage(record)

    def format(self, record: python_logging.LogRecord) -> str:
        return redaction.redact(super().format(record))


def leave(code: int) -> NoReturn:
    """Exit with the code.

    After work with s3:// Python's own exit could abort the process with another code,
    so that is left out once everything is written.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Nobody reads the output any more, for which Python would end with 120.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
    if "tensorflow_io" not in sys.modules:
        sys.exit(code)
    python_logging.shutdown()
    os._exit(code)

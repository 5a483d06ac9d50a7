"""No credential passes."""

import logging as python_logging

import pytest

from sam_pod import errors, redaction
from sam_pod.config import keys as config_lib
from sam_pod.config import rules
from sam_pod.process import command
from sam_pod.storage import schemes

SECRET = "hunter2hunter2"
LEAKS = [
    f"https://user:{SECRET}@host/path",
    f"s3://{SECRET}@bucket/x",
    f"s3://AKIA:sla/sh{SECRET}@bucket/x",
    f"at http://user:p@{SECRET}@proxy:3128/",
    f"GET https://h/x?X-Amz-Credential=AKIA%2F1&X-Amz-Signature={SECRET} failed",
    f"az://account/c/x?sv=2020&sig={SECRET}",
    f"Authorization: AWS4-HMAC-SHA256 Credential={SECRET}/x, Signature={SECRET}",
    f"x-amz-security-token: {SECRET}",
    f"DefaultEndpointsProtocol=https;AccountKey={SECRET};Suffix=x",
]


@pytest.mark.parametrize("text", LEAKS)
def test_credentials_are_hidden(text):
    shown = redaction.redact(text)
    assert SECRET not in shown
    assert redaction.HIDDEN in shown


@pytest.mark.parametrize(
    "text",
    [
        "Cannot use s3://bucket/run/ckpt-1-0.index (no): check the path.",
        "https://host:8080/data and user@host; is it so? Yes",
        "s3://bucket/run@2 and http://host:80/a@b",
        "gs://bucket/x",
    ],
)
def test_other_text_stays(text):
    assert redaction.redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "TF_AZURE_STORAGE_KEY",
        "TF_AZURE_STORAGE_account_SAS",
    ],
)
def test_what_the_environment_holds_is_hidden(monkeypatch, name):
    monkeypatch.setenv(name, SECRET)
    assert SECRET not in redaction.redact(f"the key {SECRET} is unknown")


def test_the_log_and_the_line_of_an_error_are_redacted(capsys, monkeypatch):
    monkeypatch.setattr(python_logging.root, "handlers", [])
    command.log_to_stdout()
    python_logging.getLogger().warning("at %s", LEAKS[0])

    def fail():
        raise errors.UserError(LEAKS[2])

    def break_down():
        raise RuntimeError(LEAKS[3])

    assert command.run(fail) == command.EXIT_USER_ERROR
    assert command.run(break_down) == command.EXIT_BUG
    shown = "".join(capsys.readouterr())
    assert shown.count(redaction.HIDDEN) >= 3
    assert "RuntimeError" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("key", ["data.dir", "model.name"])
@pytest.mark.parametrize("value", [LEAKS[0], LEAKS[3]])
def test_a_config_takes_none(key, value):
    config = config_lib.defaults()
    section, name = key.split(".")
    config[section][name] = value
    with pytest.raises(errors.UserError, match=f"`{key}` is .*carries cred") as raised:
        rules.validate(config)
    assert SECRET not in str(raised.value)


def test_a_path_takes_none():
    with pytest.raises(errors.UserError, match=r"--workdir is .*carries credentials"):
        schemes.check(LEAKS[1], "--workdir")

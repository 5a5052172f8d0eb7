"""Secret values appear in no log and in no error message."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from vpoller_like.agent import Agent, Params, Secret, redact, task
from vpoller_like.errors import TaskFailed

PASSWORD = 'p4ss "w0rd" \\ é'


class Login(Params, frozen=True):
    user: str = ""
    password: Secret[str] = ""
    pins: Secret[list[int]] = []
    level: Secret[Literal["low"]] = "low"


class Guest(Agent):
    name = "guest"

    @task("login")
    def login(self, msg: Login) -> None:
        raise ConnectionError(f"cannot log in with {msg.password!r}")

    @task("login.url")
    def login_url(self, msg: Login) -> None:
        try:
            self.login.function(msg)
        except ConnectionError as error:
            raise RuntimeError(f"{msg.user} could not log in, tried {msg.pins}") from error

    @task("refuse")
    def refuse(self, msg: Login) -> None:
        raise TaskFailed(
            f"{msg.password} is wrong", tried=[msg.password, {"pins": msg.pins}], user=msg.user
        )

    @task("loose")
    def loose(self, msg: dict[str, Any]) -> None:
        raise ValueError(f"bad {msg['guest_password']} for {msg['user']}")


def everything(envelope: dict[str, Any], caplog: pytest.LogCaptureFixture) -> str:
    records = [f"{record.__dict__} {record.getMessage()}" for record in caplog.records]
    return " ".join([str(envelope), caplog.text, *records])


def test_an_exceptions_text_is_redacted_in_reply_and_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    envelope = Guest().login({"password": PASSWORD})
    assert envelope["msg"] == "Task login failed: ConnectionError: cannot log in with '***'"
    assert "w0rd" not in everything(envelope, caplog)
    assert "Traceback" in caplog.text


def test_the_cause_of_an_exception_is_redacted_too(caplog: pytest.LogCaptureFixture) -> None:
    envelope = Guest().login_url({"password": PASSWORD, "user": "root", "pins": [98765]})
    assert (
        envelope["msg"] == "Task login.url failed: RuntimeError: root could not log in, tried [***]"
    )
    assert "w0rd" not in everything(envelope, caplog)
    assert "98765" not in everything(envelope, caplog)


def test_an_answers_message_and_details_are_redacted() -> None:
    envelope = Guest().refuse({"password": PASSWORD, "user": "root", "pins": [98765]})
    assert envelope["msg"] == "*** is wrong"
    assert envelope["error"]["tried"] == ["***", {"pins": ["***"]}]
    assert envelope["error"]["user"] == "root"


def test_a_short_secret_hides_the_whole_text(caplog: pytest.LogCaptureFixture) -> None:
    envelope = Guest().login({"password": "e"})
    assert envelope["msg"] == (
        "Task login failed: ConnectionError: (hidden: it contains the value of a secret parameter)"
    )
    assert "cannot log in" not in caplog.text


def test_a_validation_error_does_not_quote_a_secret() -> None:
    envelope = Guest().login({"level": "hunter2"})
    assert envelope["error"] == {"code": "invalid_params", "retryable": False, "field": "level"}
    assert "hunter2" not in envelope["msg"]


def test_an_undeclared_password_is_taken_for_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    envelope = Guest().loose({"guest_password": "hunter2", "user": "root"})
    assert envelope["msg"] == "Task loose failed: ValueError: bad *** for root"
    assert "hunter2" not in everything(envelope, caplog)


def test_without_a_secret_an_error_is_told_as_it_is() -> None:
    assert Guest().login({"user": "root"})["msg"].endswith("cannot log in with ''")


def test_parameters_for_a_log_hide_what_is_secret() -> None:
    sent = {
        "method": "login",
        "user": "root",
        "password": PASSWORD,
        "pins": None,
        "api_key": "k",
        "max-sample": 1,
    }
    assert redact(sent, Guest.login.method()) == {
        "method": "login",
        "user": "root",
        "password": "***",
        "pins": None,
        "api_key": "***",
        "max-sample": 1,
    }
    assert sent["password"] == PASSWORD


def test_a_declared_parameter_is_secret_only_if_it_says_so() -> None:
    class Page(msgspec.Struct):
        page_token: str

    assert redact({"page_token": "x"}, _method_of(Page)) == {"page_token": "x"}


def _method_of(struct: type[msgspec.Struct]) -> Any:
    def function(self: Any, msg: Any) -> None: ...

    function.__annotations__["msg"] = struct
    return task("t")(function).method()

"""Secret values appear in no log and in no error message."""

from __future__ import annotations

import base64
import html
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from vpoller_like.agent import Agent, Params, Secret, redact, settings, task
from vpoller_like.agent.secrets import hide, settings_secrets
from vpoller_like.agent.vault import VAULT, DiscreetFormatter, Vault, guard_logs
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

    @task("apart")
    def apart(self, msg: dict[str, Any]) -> None:
        raise ValueError(f"bad {msg.pop('password')}")

    @task("deep")
    def deep(self, msg: dict[str, Any]) -> None:
        raise ValueError(f"bad {msg['login']}")

    @task("exit")
    def exit(self, msg: Login) -> None:
        sys.exit(f"bad {msg.password}")

    @task("chat")
    def chat(self, msg: Login) -> str:
        logging.getLogger("library").warning("tried %r", {"password": msg.password})
        return "done"


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


def test_what_is_logged_hides_inner_secrets_too() -> None:
    sent = {"login": {"user": "root", "password": PASSWORD}, "more": [{"token": 1, "id": 2}]}
    assert redact(sent, Guest.loose.method()) == {
        "login": {"user": "root", "password": "***"},
        "more": [{"token": "***", "id": 2}],
    }


def test_a_task_that_takes_its_parameters_apart_does_not_tell_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The secrets were looked for in what was left of the parameters."""
    envelope = Guest().apart({"password": "hunter2"})
    assert envelope["msg"] == "Task apart failed: ValueError: bad ***"
    assert "hunter2" not in everything(envelope, caplog)


def test_a_secret_inside_another_parameter_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    envelope = Guest().deep({"login": [{"password": "hunter2"}]})
    assert envelope["msg"] == "Task deep failed: ValueError: bad [{'password': '***'}]"
    assert "hunter2" not in everything(envelope, caplog)


def test_a_task_that_ends_the_process_does_not_tell_why() -> None:
    """Its words went into the worker's log and into the reply."""
    with pytest.raises(SystemExit) as caught:
        Guest().exit({"password": "hunter2"})
    assert caught.value.code == "bad ***"
    assert caught.value.__suppress_context__


# However it is written --------------------------------------------------------------------

AWKWARD = ['p4ss "w0rd" \\ é', 'it\'s "both"', "\\\\ä\n\t\\", "<a>&b=c+d %20/e", "€uro\ud800"]
WAYS: list[Callable[[str], str]] = [
    repr,
    json.dumps,
    ascii,
    lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: repr([text, "so 'this' and \"that\""]),
    lambda text: repr(text.encode("utf-8", "backslashreplace")),
    str,
]


@pytest.mark.parametrize("secret", AWKWARD)
def test_a_secret_is_found_in_quotes_in_quotes_in_quotes(secret: str) -> None:
    for first, second, third in product(WAYS, WAYS, WAYS):
        text = third(second(first(f"<{secret}>")))
        assert hide(text, [secret]).count("***") == 1, text


@pytest.mark.parametrize("secret", AWKWARD[:-1])
@pytest.mark.parametrize(
    "way",
    [
        quote,
        lambda text: quote(text, safe="").lower(),
        quote_plus,
        html.escape,
        lambda text: html.escape(text, quote=False),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    ],
)
def test_a_secret_is_found_encoded(secret: str, way: Callable[[str], str]) -> None:
    assert hide(f"it is {way(secret)}!", [secret]) == "it is ***!"


def test_a_very_long_secret_is_found_as_well() -> None:
    for length, ways in ((500, WAYS), (2000, [repr, json.dumps, str])):
        secret = 'k\u00e9y "\n' * length
        for way in ways:
            assert "***" in hide(way(secret), [secret])


def test_a_secret_is_found_behind_a_backslash() -> None:
    assert hide("C:\\hunter2", ["hunter2"]) == "C:\\***"
    assert hide("C:\\'hunter2", ["'hunter2"]) == "C:***"


def test_what_is_no_secret_stays() -> None:
    assert hide("hunter, 2 hunters", ["hunter2"]) == "hunter, 2 hunters"


# What this process logs -------------------------------------------------------------------


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Return what is written to the log, as a worker process writes it."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, handler = logging.getLogger(), Lines()
    handler.setFormatter(logging.Formatter("%(message)s"))
    hooks = sys.excepthook, threading.excepthook
    last = logging.lastResort.formatter if logging.lastResort else None
    root.addHandler(handler)
    guard_logs()
    yield lambda: "\n".join(lines)
    sys.excepthook, threading.excepthook = hooks
    for each in root.handlers:
        if isinstance(each.formatter, DiscreetFormatter):
            each.setFormatter(each.formatter.inner)
    if logging.lastResort:
        logging.lastResort.setFormatter(last)
    root.removeHandler(handler)


def test_what_a_library_logs_while_a_task_runs_is_hidden(logged: Callable[[], str]) -> None:
    assert Guest().chat({"password": "hunter2"})["success"] == 0
    assert logged() == "tried {'password': '***'}"


def test_a_secret_is_let_go_with_its_task(logged: Callable[[], str]) -> None:
    Guest().chat({"password": "hunter2"})
    logging.getLogger("library").warning("hunter2 is a word")
    assert logged().endswith("hunter2 is a word")


def test_a_secret_is_hidden_as_long_as_one_task_has_it() -> None:
    vault = Vault()
    with vault.guarding(["hunter2"]):
        with vault.guarding(["hunter2"]):
            pass
        assert vault.hide("hunter2") == "***"
    assert vault.hide("hunter2") == "hunter2"


def test_what_nobody_caught_is_logged_and_hidden(logged: Callable[[], str]) -> None:
    VAULT.keep(["hunter2"])

    def fail() -> None:
        raise ValueError("hunter2")

    thread = threading.Thread(target=fail, name="t")
    thread.start()
    thread.join()
    assert logged().startswith("thread t ends\nTraceback")
    assert logged().endswith("ValueError: ***")
    try:
        fail()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    assert logged().endswith("ValueError: ***")
    assert "hunter2" not in logged().replace('ValueError("hunter2")', "")


class Inner(msgspec.Struct):
    pin: Secret[str] = ""
    host: str = ""


class Section(msgspec.Struct):
    inner: list[Inner] = []
    named: dict[str, Inner] = {}
    other: Inner | None = None


def test_a_setting_that_is_marked_secret_is_known_as_one() -> None:
    given = {
        "inner": [{"pin": "first", "host": "h"}],
        "named": {"x": {"pin": "second"}},
        "other": {"pin": "third"},
    }
    settings.read(Section, given, "agents.x")
    assert VAULT.hide("first second third h") == "*** *** *** h"


def test_settings_that_are_named_as_secrets_are_secrets() -> None:
    section = {"a": [{"apiToken": "t"}], "password": {"x": "p"}, "password_file": "/f", "b": "c"}
    assert sorted(settings_secrets(section)) == ["p", "t"]

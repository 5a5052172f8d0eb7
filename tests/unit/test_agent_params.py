"""Parameters: what is accepted, what is refused and how, and what is shown of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest

from vpoller_like.agent import Agent, Params, Secret, task
from vpoller_like.agent.params import schema_of
from vpoller_like.errors import AgentError, InvalidParams
from vpoller_like.protocol.worker import Param


class Disk(msgspec.Struct):
    size: int


class Get(Params, frozen=True):
    name: Annotated[str, msgspec.Meta(description="which one")]
    properties: list[str] = []
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.5
    limit: int | None = 10
    sort: Literal["cpu", "memory"] = "cpu"
    disks: list[Disk] = []


class Nullable(Params, frozen=True):
    value: int | None
    anything: Any


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename={"of": "from"}):
    of: str = ""


class Checked(Params, frozen=True):
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


class Node(msgspec.Struct):
    key: Secret[str]
    next: Node | None = None


class Names(NamedTuple):
    first: str
    others: dict[int, str]


class Inner(msgspec.Struct):
    names: Names


class Keyed(Params, frozen=True):
    sizes: dict[int, int]
    inner: list[Inner]


class Login(Params, frozen=True):
    user: str
    password: Annotated[Secret[str], msgspec.Meta(description="of the guest")]
    token: Secret[str] | None = None
    pin: Secret[int] = 1234
    chain: Node | None = None


class Kinds(Params, frozen=True):
    table: dict[str, int] = {}
    free: dict[str, Any] = {}
    many: list[Any] = []
    pair: tuple[int, str] = (1, "a")
    when: Any = None
    disk: Disk | None = None
    data: bytes = b"ab"


class Sample(Agent):
    name = "sample"

    @task("get")
    def get(self, msg: Get) -> Any:
        return msg

    @task("nullable")
    def nullable(self, msg: Nullable) -> Any:
        return msg

    @task("strict")
    def strict(self, msg: Strict) -> Any:
        return msg

    @task("checked")
    def checked(self, msg: Checked) -> Any:
        return msg

    @task("login")
    def login(self, msg: Login) -> Any:
        return msg.user

    @task("kinds")
    def kinds(self, msg: Kinds) -> Any:
        return msg

    @task("early")
    def early(self, msg: Later) -> Any:
        return msg.x


class Later(Params, frozen=True):
    x: int = 3


def refused(envelope: dict[str, Any]) -> tuple[str, str | None]:
    assert envelope["error"]["code"] == "invalid_params", envelope
    return envelope["msg"], envelope["error"].get("field")


def test_parameters_are_read_into_the_struct() -> None:
    result = Sample().get({"name": "a", "seconds": 2, "disks": [{"size": 1}]})["result"]
    assert result == {
        "name": "a",
        "properties": [],
        "seconds": 2.0,
        "limit": 10,
        "sort": "cpu",
        "disks": [{"size": 1}],
    }


def test_unknown_parameters_are_ignored() -> None:
    sent = {"name": "a", "helper": None, "key": "x", "perf-interval": None}
    assert Sample().get(sent)["success"] == 0


@pytest.mark.parametrize("field", ["properties", "seconds", "limit", "sort"])
def test_null_for_a_field_with_a_default_is_the_default(field: str) -> None:
    assert Sample().get({"name": "a", field: None}) == Sample().get({"name": "a"})


def test_keys_that_are_no_strings_are_read_from_strings() -> None:
    given = {"sizes": {"1": 2}, "inner": [{"names": ["a", {"2": "b"}]}]}
    read = schema_of(Keyed, "here").read(given)
    assert read == Keyed({1: 2}, [Inner(Names("a", {2: "b"}))])


def test_null_for_a_required_field_is_missing() -> None:
    assert refused(Sample().get({"name": None})) == ("name: missing", "name")


def test_null_stays_where_a_required_field_admits_it() -> None:
    assert Sample().nullable({"value": None, "anything": None})["result"] == {
        "value": None,
        "anything": None,
    }
    assert refused(Sample().nullable({"value": None}))[0] == "anything: missing"


def test_null_for_what_a_strict_struct_does_not_know_is_nothing() -> None:
    assert Sample().strict({"from": "a", "other": None})["result"] == {"from": "a"}
    assert refused(Sample().strict({"other": 1})) == ("other: unknown parameter", "other")


@pytest.mark.parametrize(
    ("sent", "message", "field"),
    [
        ({}, "name: missing", "name"),
        ({"name": 5}, "name: expected str, got int", "name"),
        ({"name": "a", "seconds": "x"}, "seconds: expected float, got str", "seconds"),
        ({"name": "a", "seconds": 1e9}, "seconds: expected float <= 3600.0", "seconds"),
        ({"name": "a", "properties": "x"}, "properties: expected array, got str", "properties"),
        ({"name": "a", "disks": [{}]}, "disks[0].size: missing", "disks[0].size"),
        (
            {"name": "a", "sort": "x"},
            'sort: invalid enum value \'x\'; expected "cpu" or "memory"',
            "sort",
        ),
    ],
)
def test_a_wrong_parameter_is_named(sent: dict[str, Any], message: str, field: str) -> None:
    assert refused(Sample().get(sent)) == (message, field)


def test_a_structs_own_check_is_told() -> None:
    assert refused(Sample().checked({"low": 2})) == ("low must not be above high", None)


def test_a_struct_may_be_defined_below_its_agent() -> None:
    assert Sample().early()["result"] == 3


def test_parameters_are_described() -> None:
    assert list(Sample.get.method().params) == [
        Param(name="name", type="string", required=True, doc="which one"),
        Param(name="properties", type="list of string", default=[]),
        Param(name="seconds", type="number", default=1.5),
        Param(name="limit", type="integer or null", default=10),
        Param(name="sort", type='"cpu" or "memory"', default="cpu"),
        Param(name="disks", type="list of object", default=[]),
    ]


def test_kinds_of_parameters_are_described_in_words() -> None:
    assert {param.name: (param.type, param.default) for param in Sample.kinds.method().params} == {
        "table": ("object of integer", {}),
        "free": ("object", {}),
        "many": ("list", []),
        "pair": ("list", [1, "a"]),
        "when": ("any", None),
        "disk": ("object or null", None),
        "data": ("string (base64)", "YWI="),
    }


def test_a_renamed_parameter_goes_by_its_name_on_the_wire() -> None:
    assert [param.name for param in Sample.strict.method().params] == ["from"]


def test_secret_parameters_are_marked_and_their_defaults_hidden() -> None:
    params = {param.name: param for param in Sample.login.method().params}
    assert {name for name, param in params.items() if param.secret} == {
        "password",
        "token",
        "pin",
        "chain",
    }
    assert params["password"].doc == "of the guest"
    assert params["pin"].default is None


def declared(annotation: Any) -> Any:
    def function(self: Any, msg: Any) -> None: ...

    function.__annotations__["msg"] = annotation
    return task("t")(function)


@pytest.mark.parametrize("annotation", [int, list[str], str | None])
def test_parameters_that_are_no_object_are_refused(annotation: Any) -> None:
    with pytest.raises(AgentError, match=r"task t .* must be a msgspec.Struct or a dict"):
        declared(annotation).method()


def test_a_type_that_cannot_be_found_is_named() -> None:
    with pytest.raises(AgentError, match=r"'Nowhere' cannot be found .* top level"):
        declared("Nowhere").method()


@pytest.mark.parametrize("annotation", [dict, dict[str, Any], Any, "dict[str, Any]"])
def test_a_plain_dict_declares_nothing(annotation: Any) -> None:
    assert declared(annotation).method().params == []


class Prepared(Params, frozen=True):
    name: str
    count: int = 0

    @classmethod
    def prepare(cls, given: dict[str, Any]) -> dict[str, Any]:
        if "refuse" in given:
            raise InvalidParams("refuse: not here", field="refuse")
        return {**given, "name": given.get("alias")}


class Preparing(Agent):
    name = "preparing"

    @task("prepared")
    def prepared(self, msg: Prepared) -> Any:
        return msg


def test_parameters_can_be_prepared_before_they_are_validated() -> None:
    given = {"alias": "me", "count": 2}
    assert Preparing().prepared(given)["result"] == {"name": "me", "count": 2}
    assert given == {"alias": "me", "count": 2}
    assert Preparing().prepared({"alias": None})["error"]["field"] == "name"


def test_preparing_may_refuse_the_parameters() -> None:
    error = Preparing().prepared({"refuse": True})["error"]
    assert (error["code"], error["field"]) == ("invalid_params", "refuse")


def test_nothing_is_prepared_where_nobody_asks_for_it() -> None:
    class Named(Params, frozen=True):
        prepare: str = ""  # type: ignore[assignment]

    assert schema_of(Named, "here").read({"prepare": "tea"}) == Named(prepare="tea")
    assert schema_of(Get, "here").prepared(given := {"name": "x"}) is given

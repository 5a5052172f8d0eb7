"""The parameters of the agent's methods."""

from __future__ import annotations

from typing import Annotated

import msgspec

from vpoller_like.agent import Params

PropertyPath = Annotated[str, msgspec.Meta(min_length=1)]

Properties = Annotated[
    list[PropertyPath],
    msgspec.Meta(description="Properties to collect besides the name, such as runtime.powerState"),
]


class VSphereParams(Params, frozen=True):
    """Base of all of the agent's parameters."""


class About(VSphereParams, frozen=True):
    """``about``."""

    properties: Annotated[
        list[PropertyPath],
        msgspec.Meta(description="Properties to return besides fullName; all when left out"),
    ] = []


class Discover(VSphereParams, frozen=True):
    """Every ``.discover``."""

    properties: Properties = []


class Get(VSphereParams, frozen=True):
    """Every ``.get``."""

    name: Annotated[
        str, msgspec.Meta(min_length=1, description="Its name, or reference (VirtualMachine:vm-42)")
    ]
    properties: Properties = []


class GetDatastore(VSphereParams, frozen=True):
    """``datastore.get``."""

    name: Annotated[
        str, msgspec.Meta(min_length=1, description="Its URL (info.url), name, or reference")
    ]
    properties: Properties = []


class Nothing(VSphereParams, frozen=True):
    """Methods without parameters."""

"""All that is promised, one class for each promise."""

from __future__ import annotations

from tests.simulation.about_bounds import AtRestNothingIsLeft, QueuesAreBounded
from tests.simulation.about_replies import (
    EveryRequestIsAnswered,
    OneReplyForOneId,
    RepliesGoToWhoAsked,
    SupersededAttemptsAreDropped,
    WhatIsSaidNotToHaveRunHasNot,
)
from tests.simulation.about_running import (
    GrantsAreKept,
    LivingMemoryIsAsked,
    NobodyIsPassedOver,
    NothingIsGivenPastItsDeadline,
    RunsOnce,
)
from tests.simulation.invariant import Invariant

ALL: tuple[type[Invariant], ...] = (
    EveryRequestIsAnswered,
    RepliesGoToWhoAsked,
    OneReplyForOneId,
    LivingMemoryIsAsked,
    SupersededAttemptsAreDropped,
    NothingIsGivenPastItsDeadline,
    WhatIsSaidNotToHaveRunHasNot,
    QueuesAreBounded,
    NobodyIsPassedOver,
    GrantsAreKept,
    RunsOnce,
    AtRestNothingIsLeft,
)

"""Acts on the rules of the traffic: puts the second version in use, or ends its traffic.

Each replica asks all of them once a minute, so that each can show what the rules say, and the one
with the smallest id acts. Its change expects the epoch of the traffic, so a decision is carried out
once, even if two replicas act on it.
"""

import logging
import time
from collections.abc import Callable

from service.common.domain import Use
from service.common.errors import ChangeUnderWay, EpochConflict, ServiceError
from service.common.metrics import Metrics
from service.rollout.coordinator import Coordinator
from service.rollout.local_replica import LocalReplica
from service.rollout.traffic_counts import TrafficCounts
from service.traffic.rules import Judgement, judge

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""Between two looks; the first is that long after the traffic began."""

BY = "rules of the traffic"
"""Who made an entry that the rules decided."""


class Referee:
    """Looks at the rules once a minute; called by one thread."""

    def __init__(
        self,
        local: LocalReplica,
        coordinator: Coordinator,
        counts: TrafficCounts,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = local
        self._coordinator = coordinator
        self._counts = counts
        self._metrics = metrics
        self._clock = clock
        self._epoch = 0
        self._look_at = 0.0
        self._judged: tuple[int, Judgement] | None = None

    def judgement(self, epoch: int) -> Judgement | None:
        """Return what the rules said at the last look; None if none was in this epoch.

        May be called from any thread. Looks for which a replica was silent do not count.
        """
        judged = self._judged
        return judged[1] if judged is not None and judged[0] == epoch else None

    def poll(self) -> None:
        """Look at the rules if it is time to; an error is logged, and the next look tries again."""
        use = self._local.newest
        rules = None if use is None or use.traffic is None else use.traffic.rules
        if use is None or rules is None:
            return
        if use.epoch != self._epoch:
            self._epoch, self._look_at = use.epoch, self._clock() + LOOK_SECONDS
        if self._clock() < self._look_at or self._local.leader is not None:
            return
        self._look_at = self._clock() + LOOK_SECONDS
        counts = self._counts.of_all(use.epoch)
        if counts.missing or not counts.ids:
            return  # not all rows are known
        judgement = judge(rules, counts.compared)
        self._judged = use.epoch, judgement
        if judgement.decision != "wait" and counts.ids[0] == self._local.id:
            self._act(use, judgement)

    def _act(self, use: Use, judgement: Judgement) -> None:
        decision, sentence = judgement.decision, judgement.sentence
        try:
            if decision == "promote":
                version = self._local.second_of(use)
                assert version is not None
                self._coordinator.use(version, BY, use.epoch, wait=0, decision=sentence)
            else:
                self._coordinator.direct(None, None, BY, use.epoch, decision=sentence)
        except (ChangeUnderWay, EpochConflict) as error:
            logger.debug("the rules of epoch %d are left to another change: %s", use.epoch, error)
        except ServiceError as error:
            logger.warning("the rules of epoch %d cannot be acted on: %s", use.epoch, error)
        else:
            self._metrics.traffic_decisions.labels(decision).inc()
            logger.info("%s", sentence)

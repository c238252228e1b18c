"""What is done with a request to `/outcomes`: answer, count, store, add rows to a data set."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from service.api.outcome_body import answer_beside_truth
from service.api.outcome_replies import appended_reply, counted_reply
from service.api.outcome_schemas import CountedReply, OutcomesRequest
from service.api.services import Services
from service.common.domain import LOG_OF_USE, Version
from service.common.errors import IdempotencyConflict, ModelNotFound, VersionNotFound
from service.common.outcomes import OutcomeCounts, OutcomeRecord, Receipt
from service.serving.file_predictions import Deadline
from service.serving.predictor import Predictor
from service.traffic.comparison import comparison_of
from service.traffic.paired_outcomes import PairedOutcomes, paired_outcomes
from service.training.uploads import Upload, UploadMedia


@dataclass(frozen=True, slots=True)
class SentOutcomes:
    """A request, in any format."""

    media: UploadMedia
    name: str | None
    version: int
    append_to: str | None
    encoding: str = "utf-8"
    """The encoding of a CSV file."""
    body: OutcomesRequest | None = None
    """The body if it is JSON; None for a file."""


async def count_outcomes(
    services: Services, upload: Upload, sent: SentOutcomes, receipt: Receipt | None
) -> CountedReply:
    """Count how often a version is right, once for each receipt; return the reply."""
    name = sent.name or services.current_model.get().name
    version = await find_version(services, name, sent.version)
    if receipt is not None:
        earlier = await _earlier(services, version, sent, receipt)
        if earlier is not None:
            return earlier
    predictor = await _predictor(services, name, version)
    pairs = paired_outcomes(comparison_of(services.current_model), predictor)
    counts = await _answer(services, upload, sent, predictor, pairs)
    data_set = None
    if sent.append_to is not None:
        # First, since it may be refused. If the rest fails and the request is sent again, the key
        # keeps the rows from being added twice.
        key = uuid.uuid4().hex if receipt is None else receipt.key
        async with services.reading:
            data_set = await services.run(
                services.uploads.append,
                upload,
                sent.append_to,
                sent.media,
                predictor.schema,
                sent.encoding,
                key,
            )
    day = utc_day(0)
    # Read before the counts are stored, since after that nothing may fail.
    before = await _of_day(services, version, day)
    if receipt is not None:
        receipt = replace(receipt, day=day, rows=counts.rows)
    stored = await services.run(services.outcome_log.add, version, counts, receipt, day)
    services.metrics.count_outcomes(counts)
    if pairs is not None:
        await services.run(
            services.comparer.add_outcomes,
            pairs.epoch,
            pairs.only_in_use_right,
            pairs.only_second_right,
            pairs.rows,
        )
    others = [one.counts for one in before if one.id != stored.id]
    reply = counted_reply(version, day, counts.rows, [stored.counts, *others])
    if data_set is not None:
        reply.data_set = appended_reply(data_set)
    return reply


async def _earlier(
    services: Services, version: Version, sent: SentOutcomes, receipt: Receipt
) -> CountedReply | None:
    """Return the reply to a request that has been counted before; None for a new one."""
    earlier = await services.ask(services.registry.receipt_of_key, receipt.key)
    if earlier is None:
        return None
    if earlier.request != receipt.request:
        raise IdempotencyConflict
    known = await _of_day(services, version, earlier.day)
    reply = counted_reply(version, earlier.day, earlier.rows, [one.counts for one in known])
    if sent.append_to is not None:
        appended_by = services.registry.appended_by
        data_set = await services.ask(appended_by, sent.append_to, receipt.key)
        if data_set is not None:
            reply.data_set = appended_reply(data_set)
    return reply


async def _predictor(services: Services, name: str, version: Version) -> Predictor:
    """Return the predictor of a version; raises VersionNotFound or VersionNotServable."""
    served = await services.answering.find(name, str(version.version))
    assert served is not None
    if served.loaded.sha256 != version.digest:
        raise VersionNotFound(name, version.version)  # its number was given to another one
    return served.predictor


async def _answer(
    services: Services,
    upload: Upload,
    sent: SentOutcomes,
    predictor: Predictor,
    pairs: PairedOutcomes | None,
) -> OutcomeCounts:
    deadline, watch = Deadline(), _unwatched if pairs is None else pairs.add
    if sent.body is not None:
        return await services.run(answer_beside_truth, predictor, sent.body, deadline, watch)
    assert sent.media != "json"
    return await services.run(
        services.file_predictions.answer_beside_truth,
        predictor,
        upload.folder,
        sent.media,
        deadline,
        sent.encoding,
        watch,
    )


def _unwatched(*_: object) -> None:
    """Do nothing: the version is compared with no other."""


async def find_version(services: Services, name: str, version: int) -> Version:
    """Return a version; raises ModelNotFound or VersionNotFound."""
    if name == LOG_OF_USE:
        raise ModelNotFound(name)
    return await services.ask(services.registry.get_version, name, version)


async def _of_day(services: Services, version: Version, day: str) -> Sequence[OutcomeRecord]:
    found = await services.ask(services.registry.list_outcomes, day, version.identity)
    return [one for one in found if one.day == day]


def utc_day(ago: int) -> str:
    """Return the day, in UTC, that was this many days ago."""
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()

"""Judgements: each is checked and stored by itself, whatever befalls the others of its batch."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from protos.v1.feedback_log_pb2 import JudgementReceipt, ListJudgementsRequest
from protos.v1.judgement_pb2 import Judgement
from services.common.embedded_media import media_of_judgement
from services.common.errors import AlreadyExists, AttuneError, InvalidArgument, NotFound
from services.feedback.event_log import EventLog, Known
from services.feedback.events import EventDraft, EventType, digest, encode
from services.feedback.media import MediaRecord, MediaVault, record_media, require_media
from services.feedback.pages import Page, page_limit, start_after, take_page
from services.feedback.tables import CandidateRow, EventRow, JudgementRow
from services.feedback.validation import candidates_of, check_judgement

_YIELD_ROWS = 200


@dataclass(frozen=True, slots=True)
class PreparedJudgement:
    """A judgement with its media by hash, or the error that refuses it."""

    judgement: Judgement
    media: list[MediaRecord]
    error: AttuneError | None = None


def prepare(judgement: Judgement, vault: MediaVault) -> PreparedJudgement:
    """Checks a judgement by itself and stores its media as blobs."""
    detached = Judgement()
    detached.CopyFrom(judgement)
    detached.ClearField("judgement_id")  # the server's to give
    try:
        check_judgement(detached)
        return PreparedJudgement(detached, vault.detach(media_of_judgement(detached)))
    except InvalidArgument as error:
        return PreparedJudgement(detached, [], error)


def submit(log: EventLog, prepared: Sequence[PreparedJudgement]) -> list[JudgementReceipt]:
    """Stores what is sound and new; a receipt for each, in order."""
    batch = _Batch(log, [p.judgement for p in prepared if p.error is None])
    receipts = [batch.take(p) for p in prepared]
    record_media(log, batch.media)
    log.append(batch.drafts)
    return receipts


def page(
    session: Session, request: ListJudgementsRequest, max_page: int, max_bytes: int
) -> Page[Judgement]:
    """A page of judgements, media by hash."""
    after = start_after(request.page_token, filters(request))
    query = (
        select(EventRow.seq, EventRow.payload)
        .join(JudgementRow, JudgementRow.seq == EventRow.seq)
        .where(JudgementRow.seq > after)
        .order_by(JudgementRow.seq)
        .execution_options(yield_per=_YIELD_ROWS)
    )
    if request.project:
        query = query.where(JudgementRow.project == request.project)
    if request.item_id:
        query = query.where(JudgementRow.item_id == request.item_id)
    if request.rater_id:
        query = query.where(JudgementRow.rater_id == request.rater_id)
    found = ((row.seq, Judgement.FromString(row.payload)) for row in session.execute(query))
    return take_page(found, page_limit(request.page_size, max_page), max_bytes)


def filters(request: ListJudgementsRequest) -> list[str]:
    """What a page token is bound to."""
    return ["judgements", request.project, request.item_id, request.rater_id]


class _Batch:
    """One request's judgements against what is stored and against each other."""

    def __init__(self, log: EventLog, sound: Sequence[Judgement]) -> None:
        self.drafts: list[EventDraft] = []
        self.media: list[MediaRecord] = []
        self._log = log
        self._known = log.find(EventType.JUDGEMENT_SUBMITTED, [j.idempotency_key for j in sound])
        self._candidates = _candidates_by_item(log.session, {j.item_id for j in sound})

    def take(self, prepared: PreparedJudgement) -> JudgementReceipt:
        """Decides on the next judgement."""
        try:
            return self._receipt(prepared)
        except AttuneError as error:
            return JudgementReceipt(error=f"{error.code.name}: {error}")

    def _receipt(self, prepared: PreparedJudgement) -> JudgementReceipt:
        if prepared.error is not None:
            raise prepared.error
        judgement, body = prepared.judgement, digest(prepared.judgement)
        known = self._known.get(judgement.idempotency_key)
        if known is not None:
            return _repeat(judgement.idempotency_key, known, body)
        self._check_against_store(prepared)
        judgement.judgement_id = f"j-{uuid.uuid4().hex}"
        judgement.judged_at_s = judgement.judged_at_s or self._log.at_s
        draft = EventDraft(
            EventType.JUDGEMENT_SUBMITTED,
            key=judgement.idempotency_key,
            payload=encode(judgement),
            body_sha256=body,
            actor=judgement.rater_id,
        )
        self._known[draft.key] = Known(body, draft.payload)
        self.drafts.append(draft)
        self.media.extend(prepared.media)
        return JudgementReceipt(judgement_id=judgement.judgement_id)

    def _check_against_store(self, prepared: PreparedJudgement) -> None:
        judgement = prepared.judgement
        candidates = self._candidates.get(judgement.item_id)
        if candidates is None:
            raise NotFound(f"no item {judgement.item_id!r}; put it before it is judged")
        for candidate_id in candidates_of(judgement):
            if candidate_id not in candidates:
                raise InvalidArgument(
                    f"candidate {candidate_id!r} is none of item {judgement.item_id!r}; it has "
                    f"{', '.join(candidates[:10])}"
                )
        brought = {record.sha256 for record in prepared.media}
        named = {media.sha256 for media in media_of_judgement(judgement)}
        require_media(self._log, named - brought, "the edited answer")


def _repeat(key: str, known: Known, body: bytes) -> JudgementReceipt:
    if known.body_sha256 != body:
        raise AlreadyExists(f"idempotency_key {key!r} was used with another body; use a new one")
    judgement_id = Judgement.FromString(known.payload).judgement_id
    return JudgementReceipt(judgement_id=judgement_id, repeated=True)


def _candidates_by_item(session: Session, item_ids: Iterable[str]) -> dict[str, list[str]]:
    rows = session.execute(
        select(CandidateRow.item_id, CandidateRow.candidate_id)
        .where(CandidateRow.item_id.in_(item_ids))
        .order_by(CandidateRow.item_id, CandidateRow.position)
    )
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row.item_id].append(row.candidate_id)
    return dict(found)

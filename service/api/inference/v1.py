"""KServe's V1: the body of `/predict`, and a reply that has the predictions alone."""

from service.api.written import Written
from service.models.classifier import Floats, Labels
from service.schema.decoder import FastDecodeFailed
from service.serving.predictor import Predictor
from service.serving.question import Question
from service.serving.reply_encoder import ReplyEncoder
from service.serving.served_model import JSON


class V1Codec:
    """Reads requests for one version, and writes its replies."""

    def __init__(self, predictor: Predictor) -> None:
        self._decoder = predictor.decoder
        self._replies = ReplyEncoder({}, predictor.schema.classes)

    def quick(self, body: bytes) -> Question[Written] | None:
        """Read it with compiled decoders alone; None says nothing about it: use `careful`."""
        try:
            return Question(*self._decoder.read(body), self._write)
        except FastDecodeFailed:
            return None

    def careful(self, body: bytes) -> Question[Written]:
        """Read it slowly; raises InvalidInput with what is wrong, or BodyTooLarge."""
        return Question(*self._decoder.explain(body), self._write)

    def _write(self, labels: Labels, chances: Floats | None) -> Written:
        return Written(self._replies.encode(labels, chances), (JSON,))

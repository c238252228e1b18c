"""The URLs of the fast path, and what answers each: the model in use, or its second version."""

from collections.abc import Callable, Sequence
from urllib.parse import quote

from service.api.predict_replies import PredictReplies
from service.api.predictions import Predictions
from service.api.written import Written
from service.auth.api_keys import ApiKeys
from service.common.errors import Unauthorized
from service.common.traffic import Traffic
from service.server.fast_path.head_cache import HeadCache, KeyedHeadCache
from service.server.fast_path.replies import FastForm, Waiting
from service.server.fast_path.rows import (
    FoundRow,
    InferenceRows,
    OpenForm,
    OwnRows,
    RowReader,
    ScoringRows,
)
from service.serving.served_model import ServedModel
from service.serving.split import goes_to_second

MakeReader = Callable[[ServedModel, OpenForm], RowReader]


class FastPath:
    """Knows which URLs the fast path answers, from which model, and who may use it."""

    def __init__(self, predictions: Predictions, keys: ApiKeys | None) -> None:
        self.longest = predictions.predict.longest_row
        self._predictions = predictions
        self._answering = predictions.answering
        self._hold = predictions.answering.hold
        self._served: ServedModel | None = None
        self._routes: dict[bytes, FastRoute] = {}
        self._split: Traffic | None = None
        self._second_routes: dict[bytes, FastRoute] = {}
        self.share_by = b""
        """The header whose value decides which of two versions answers, while traffic is split by
        one; its name in lower case."""
        self._keys = keys
        self.heads = HeadCache() if keys is None else KeyedHeadCache(keys)

    def admits(self, authorization: bytes | None) -> bool:
        """Return whether a valid key was sent if there are keys, and none if there are not.

        A key with a rate limit is counted on the ordinary path.
        """
        if self._keys is None:
            return authorization is None
        try:
            return self._keys.find(authorization).quota is None
        except Unauthorized:
            return False

    def current(self, url: bytes, value: bytes | None = None) -> "FastRoute | None":
        """Return what answers a URL; None while there is no model, or a change holds predictions.

        It is also None for a URL that is not of the fast path, or of another model. `value` is that
        of the header `share_by`; None where a request has none.
        """
        served = self._answering.in_use()
        if served is None or self._hold.event is not None:
            return None
        if served is not self._served:
            self._follow(served)
        if self._split is not None and goes_to_second(self._split, value):
            return self._second_routes.get(url)
        return self._routes.get(url)

    def _follow(self, served: ServedModel) -> None:
        name, second, traffic = served.loaded.name, self._answering.second, served.loaded.traffic
        self._served, self._routes = served, self._routes_of(served, name)
        self._split, self._second_routes, self.share_by = None, {}, b""
        if second is not None and traffic is not None and traffic.mode == "split":
            self._split, self._second_routes = traffic, self._routes_of(second, name)
            self.share_by = traffic.key.encode()

    def _routes_of(self, served: ServedModel, in_use: str) -> "dict[bytes, FastRoute]":
        """Return the routes that one version answers, by URL, while the model `in_use` is."""
        predictions = self._predictions
        name = quote(in_use, safe="").encode()
        made: dict[bytes, tuple[MakeReader, PredictReplies]] = {
            b"/predict": (OwnRows, predictions.predict.answers),
            b"/v2/models/%b/infer" % name: (InferenceRows, predictions.infer.answers),
            b"/invocations": (ScoringRows, predictions.invocations.answers),
        }
        return {
            url: FastRoute(served, make, answers, self._answering.is_full)
            for url, (make, answers) in made.items()
        }


class FastRoute:
    """A URL of the fast path to one model in use.

    A request is answered from the model that decoded it, whatever is in use by then.
    """

    def __init__(
        self,
        served: ServedModel,
        make_reader: MakeReader,
        answers: PredictReplies,
        is_full: Callable[..., bool],
    ) -> None:
        self.served = served
        self._is_full = is_full
        self._plain = FastForm(served, answers)
        self._reader: RowReader | None = None
        self._make_reader = make_reader
        self._answers = answers

    def read(self, body: bytes, head_bytes: int | None) -> FoundRow | None:
        """Return the row of a request that the fast path answers; None says nothing about it."""
        if self._reader is None:  # most services are asked in one protocol alone
            # Without `self`: a reference cycle would keep the model when it is out of use.
            served, answers, plain = self.served, self._answers, self._plain

            def open_form(labels: Sequence[Written] | None) -> FastForm:
                return plain if labels is None else FastForm(served, answers, labels)

            self._reader = self._make_reader(served, open_form)
        return self._reader(body, head_bytes)

    def is_full(self, size: int) -> bool:
        """Return whether a request of this size has to run in a thread and would be refused."""
        return self._is_full(self.served.predictor, size)

    def refuse(self, connection: Waiting) -> None:
        """Refuse a request because of overload."""
        self._plain.refuse(connection)

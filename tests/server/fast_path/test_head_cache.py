"""The cache of parsed request heads, and the API keys in them."""

from pathlib import Path

from service.auth.api_keys import ApiKeys
from service.server.fast_path.head_cache import KeyedHeadCache, PlainHead
from tests.support.keys import Clock, line
from tests.support.scenes import JSON, KEY, ROW, SCHEMA, ask, request, serve_site, status
from tests.support.site import Site, predictor_for

OTHER = b"authorization: Bearer other"


def test_heads_that_are_kept_are_few_and_short() -> None:
    async def scene(site: Site) -> int:
        ((protocol, _),) = ask(site, request())
        heads = protocol.fast_path.heads
        protocol.data_received(request(ROW, JSON, b"x-long: " + b"v" * 1100))
        assert len(heads) == 1
        most = 0
        for index in range(1000):
            protocol.data_received(request(ROW, JSON, b"x-number: %d" % index))
            most = max(most, len(heads))
        return most

    assert serve_site(predictor_for(SCHEMA), scene) == 512


def test_with_a_key_in_force_no_scope_is_needed_and_without_one_nothing_is_answered(
    keys: ApiKeys,
) -> None:
    async def scene(site: Site) -> None:
        for _ in range(3):  # from the second time on, its head is in the cache
            ((_, transport),) = ask(site, request(ROW, JSON, KEY))
            assert status(transport) == 200
        assert site.scopes == 0

        for header in (b"authorization: Bearer other", b"x-api-key: mine", b"accept: */*"):
            for _ in range(2):
                ((_, transport),) = ask(site, request(ROW, JSON, header))
                await site.settle()
                assert status(transport) == 401
        two = [
            request(ROW, JSON, *pair)
            for pair in ((KEY, OTHER), (OTHER, KEY), (b"authorization:", KEY))
        ]
        connections = ask(site, *two)
        await site.settle()
        assert [status(transport) for _, transport in connections] == [200, 401, 401]

    serve_site(predictor_for(SCHEMA), scene, keys=keys)


def test_a_head_is_forgotten_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("predict", "mine"))
    keys = ApiKeys(path, Clock())

    async def scene(site: Site) -> None:
        for _ in range(3):
            ((_, transport),) = ask(site, request(ROW, JSON, KEY))
            assert status(transport) == 200
        path.write_text(line("predict", "mine, no more"))

        ((_, transport),) = ask(site, request(ROW, JSON, KEY))
        await site.settle()

        assert status(transport) == 401

    serve_site(predictor_for(SCHEMA), scene, keys=keys)


def test_no_key_stays_in_memory(keys: ApiKeys) -> None:
    heads = KeyedHeadCache(keys)
    whole = request(ROW, JSON, KEY)

    said = PlainHead(b"/predict", None, len(ROW), b"", None)
    heads.learn(whole, said)

    assert heads.find(whole[: -len(ROW)]) == said
    assert heads.find(request(ROW, JSON, OTHER)[: -len(ROW)]) is None
    assert not any(b"mine" in known for known in vars(heads)["_known"])


def test_a_key_with_a_limit_is_counted_once_and_not_on_the_fast_path(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("predict", "mine").strip() + " 3/s\n")
    keys = ApiKeys(path, lambda: 0.0)

    async def scene(site: Site) -> list[int]:
        found = []
        for _ in range(5):
            ((_, transport),) = ask(site, request(ROW, JSON, KEY))
            await site.settle()
            found.append(status(transport))
            if found[-1] == 429:
                assert b"retry-after: " in transport.written
                assert b'"type":"/problems/rate-exceeded"' in transport.written
        return found

    assert serve_site(predictor_for(SCHEMA), scene, keys=keys) == [200, 200, 200, 429, 429]

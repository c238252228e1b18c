"""A split between two versions: the fast path answers by the same one as the ordinary path."""

from dataclasses import replace

import pytest

from service.common.traffic import Traffic
from service.serving.current_model import LoadedVersion
from service.serving.split import goes_to_second
from tests.support.compared import traffic
from tests.support.scenes import JSON, ROW, SCHEMA, ask, request, serve_site
from tests.support.site import FakeTransport, Site, predictor_for

KEYED = replace(traffic("split", 50), key="x-customer")
CUSTOMERS = [b"customer %d" % number for number in range(40)]


def split(site: Site, shared: Traffic | None, epoch: int = 2) -> None:
    """Put the first version in use, and the second beside it."""
    second = None if shared is None else LoadedVersion(predictor_for(SCHEMA, 2), epoch, "")
    site.current_model.swap(LoadedVersion(predictor_for(SCHEMA, 1), epoch, "", shared, second))


def version(transport: FakeTransport) -> int:
    """Return the version that answered last."""
    return int(transport.written.rpartition(b"x-model-version: ")[2].split(b"\r\n")[0])


def of(customer: bytes, header: bytes = b"x-customer") -> bytes:
    return request(ROW, JSON, header + b": " + customer)


def expected(shared: Traffic, customer: bytes) -> int:
    return 2 if goes_to_second(shared, customer) else 1


def test_a_customer_is_answered_by_the_same_version_on_both_paths() -> None:
    async def scene(site: Site) -> list[int]:
        split(site, KEYED)
        found = []
        for _ in range(2):  # the second time, heads are in the cache
            connections = ask(site, *map(of, CUSTOMERS))
            await site.settle()
            found += [version(transport) for _, transport in connections]
        assert site.scopes == (0 if site.fast else 2 * len(CUSTOMERS))
        return found

    fast = serve_site(predictor_for(SCHEMA), scene)

    assert fast == 2 * [expected(KEYED, customer) for customer in CUSTOMERS]
    assert set(fast) == {1, 2}
    assert fast == serve_site(predictor_for(SCHEMA), scene, short_way=False)


def test_a_request_without_the_header_is_answered_by_the_version_in_use() -> None:
    async def scene(site: Site) -> list[int]:
        split(site, replace(KEYED, percent=100))
        connections = ask(site, request(), request(), of(b"any", b"x-other"))
        await site.settle()
        assert site.scopes == 0
        return [version(transport) for _, transport in connections]

    assert serve_site(predictor_for(SCHEMA), scene) == [1, 1, 1]


def test_a_header_that_is_there_twice_is_left_to_the_ordinary_path() -> None:
    async def scene(site: Site) -> int:
        split(site, KEYED)
        twice = request(ROW, JSON, b"x-customer: a", b"x-customer: b")
        ((_, transport),) = ask(site, twice)
        await site.settle()
        assert site.scopes == 1
        return version(transport)

    fast = serve_site(predictor_for(SCHEMA), scene)

    assert fast == serve_site(predictor_for(SCHEMA), scene, short_way=False)


def test_without_a_header_each_request_is_drawn() -> None:
    async def scene(site: Site) -> list[int]:
        split(site, traffic("split", 50))
        ((protocol, transport),) = ask(site, request())
        found = [version(transport)]
        for _ in range(200):
            protocol.data_received(request())
            await site.settle()
            found.append(version(transport))
        assert site.scopes == 0
        return found

    assert 50 < serve_site(predictor_for(SCHEMA), scene).count(2) < 150


@pytest.mark.parametrize("before", [None, replace(KEYED, key="x-other")], ids=["none", "other"])
def test_a_cached_head_is_read_anew_when_another_header_decides(before: Traffic | None) -> None:
    everybody = replace(KEYED, percent=100)

    async def scene(site: Site) -> list[int]:
        split(site, before)
        ((protocol, transport),) = ask(site, of(b"a"))
        protocol.data_received(of(b"a"))  # its head is in the cache from here on
        await site.settle()
        assert version(transport) == 1
        found = []
        for epoch, shared in ((3, everybody), (4, None), (5, everybody)):
            split(site, shared, epoch)
            for _ in range(2):
                protocol.data_received(of(b"a"))
                await site.settle()
                found.append(version(transport))
        return found

    assert serve_site(predictor_for(SCHEMA), scene) == [2, 2, 1, 1, 2, 2]


def test_a_split_that_begins_between_head_and_body_counts_for_the_request() -> None:
    async def scene(site: Site) -> int:
        split(site, None)
        protocol, transport = site.connect()
        head, body = of(b"a").split(b"\r\n\r\n")
        protocol.data_received(head + b"\r\n\r\n")
        split(site, replace(KEYED, percent=100), 3)
        protocol.data_received(body)
        await site.settle()
        return version(transport)

    assert serve_site(predictor_for(SCHEMA), scene) == 2


def test_the_url_of_the_model_in_use_is_shared_too() -> None:
    async def scene(site: Site) -> list[int]:
        split(site, replace(KEYED, percent=100))
        body = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.5, 2]}]}'
        frame = b'{"dataframe_split": {"columns": ["x", "y"], "data": [[1.5, 2]]}}'
        line = b"POST /v2/models/m/infer HTTP/1.1"
        connections = ask(
            site,
            request(body, JSON, b"x-customer: a", line=line),
            request(frame, JSON, b"x-customer: a", line=b"POST /invocations HTTP/1.1"),
        )
        await site.settle()
        assert site.scopes == 0
        return [version(transport) for _, transport in connections]

    assert serve_site(predictor_for(SCHEMA), scene) == [2, 2]

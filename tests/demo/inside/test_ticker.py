"""The ticker: prices that move by chance, published while somebody watches, and a flood that is too much."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.test import AsyncClient, Client

from demo_project.ticker import publisher, views
from demo_project.ticker.market import MOVES_PER_SECOND, SHARES, Market
from demo_project.ticker.topics import RATES, topic_of
from sse_notify.testing import open_stream
from tests.support import GUARD
from tests.support.readers import is_allowed


@pytest.fixture(autouse=True)
def _counted_anew() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def test_a_market_makes_the_moves_that_are_due_and_no_more_than_those_of_a_second() -> None:
    now = 100.0
    market = Market(lambda: now)
    market.catch_up()
    assert market.moves == 0
    for _ in range(30):  # a fraction of a move each, which adds up
        now += 0.1 / MOVES_PER_SECOND
        market.catch_up()
    assert market.moves in (2, 3)
    before = market.moves
    now += 0.5
    market.catch_up()
    assert abs(market.moves - before - MOVES_PER_SECOND / 2) <= 1
    before = market.moves
    now += 3600
    market.catch_up()
    assert market.moves == before + MOVES_PER_SECOND


def test_what_has_moved_is_told_and_nothing_else() -> None:
    market = Market(lambda: 0.0)
    assert market.since(0) == {}
    market.move()
    ((share, price),) = market.since(0).items()
    assert price == round(market.prices[share], 2)
    assert market.since(1) == {}
    for _ in range(500):
        market.move()
    assert set(market.since(1)) == set(SHARES)
    assert min(market.prices.values()) > 0


def test_everybody_may_watch_at_the_rates_that_there_are() -> None:
    assert all(is_allowed(AnonymousUser(), topic_of(rate)) for rate in RATES)
    assert not is_allowed(AnonymousUser(), "ticker.1000000")


def _watch(rate: int) -> AbstractAsyncContextManager[Any]:
    return open_stream(AnonymousUser(), topics=[topic_of(rate)])


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_prices_are_published_while_somebody_watches_and_not_a_moment_longer() -> None:
    fast, slow = RATES[-1], RATES[0]
    async with asyncio.timeout(GUARD):
        async with _watch(fast) as stream:
            first = (await stream.next("prices")).data
            second = (await stream.next("prices")).data
            assert second["moves"] >= first["moves"]
            assert set(first["prices"]) <= set(SHARES)
            assert slow not in publisher.running or publisher.running[slow].done()
            task = publisher.running[fast]
            assert not task.done()
        # It looks once for each update whether anybody is left.
        await task
        async with _watch(fast) as stream:
            await stream.next("prices")
            assert publisher.running[fast] is not task


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_who_gets_too_much_at_once_is_told_how_much_was_lost() -> None:
    rate = RATES[0]
    async with asyncio.timeout(GUARD), _watch(rate) as stream:
        await stream.next("prices")
        publisher.flood(rate, views.FLOOD)
        lost = (await stream.next("lost")).data["count"]
        assert 0 < lost <= views.FLOOD
        await stream.next("prices")


@pytest.mark.asyncio
@pytest.mark.django_db
async def test_a_flood_is_asked_for_by_a_form_and_not_twice_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floods: list[tuple[int, int]] = []
    monkeypatch.setattr(publisher, "flood", lambda rate, events: floods.append((rate, events)))
    client = AsyncClient()
    answers = [
        await client.post("/ticker/flood/", {"rate": rate}) for rate in ("", "x", "3", "20", "100")
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 202, 429]
    assert answers[-1]["Retry-After"]
    assert floods == [(20, views.FLOOD)]
    assert (await client.get("/ticker/flood/")).status_code == 405


@pytest.mark.django_db
def test_a_form_from_elsewhere_floods_nobody() -> None:
    assert (
        Client(enforce_csrf_checks=True).post("/ticker/flood/", {"rate": "20"}).status_code == 403
    )

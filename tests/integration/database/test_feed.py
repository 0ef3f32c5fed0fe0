"""The feed lists each image once, at its served verdict, and its counts are those of its list."""

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.labels import Labels
from worker.database.saved_views import MOST_VIEWS, SavedViews, TooManyViewsError
from worker.database.search import Filters, Position, Search
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import Image, LabelValue
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration

ANNA = Actor("anna")
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def search(database: Database) -> Search:
    return Search(database)


def listed(search: Search, filters: Filters | None = None, limit: int = 7) -> list[str]:
    found: list[str] = []
    after: Position | None = None
    while True:
        page = search.served(filters or Filters(), limit=limit, after=after)
        found += [image.image_id for _, image in page.rows]
        if page.next is None:
            return found
        assert len(page.rows) == limit
        after = page.next


def test_any_filters_list_what_is_served_each_image_once_and_counts_agree(
    search: Search, rows: Rows, database: Database
) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret.
    policies = [rows.policy() for _ in range(3)]
    for number in range(60):
        # Every fourth is a second version of the image before it.
        image = rows.image(f"i{number - (number % 4 == 3)}", source=chance.choice("ab"), stored_at=START)
        for policy in policies[: chance.randrange(4)]:
            made = START + timedelta(hours=chance.randrange(50))
            verdict = chance.choice(list(VerdictValue))
            rows.verdict(
                image, policy_version=policy, verdict=verdict, probability=chance.random(), created_at=made,
                shadow=chance.random() < 0.2, source=chance.choice("ab"),
            )  # fmt: skip
        if number % 6 == 0:
            rows.verdict(image, DecidedBy.HUMAN, verdict=chance.choice(list(VerdictValue)[::2]), created_at=START)
    with database.transaction() as session:
        names = session.scalars(select(func.distinct(Image.image_id))).all()
    served = {name: Queries(database).served(name) for name in names}
    verdicts = {name: one.verdict for name, one in served.items() if one and one.verdict}
    assert len(verdicts) > 20
    some = 0
    spans = ((None, None), (START + timedelta(hours=6), None), (None, START + timedelta(hours=30)))
    for value, source, (since, until), least in product((None, *VerdictValue), (None, "a"), spans, (None, 0.4)):
        filters = Filters(value, source, since, until, least)
        wanted = {
            name
            for name, verdict in verdicts.items()
            if (value is None or verdict.verdict == value)
            and (source is None or verdict.source == source)
            and (since is None or verdict.created_at >= since)
            and (until is None or verdict.created_at < until)
            and (least is None or (verdict.probability is not None and verdict.probability >= least))
        }
        found = listed(search, filters)
        assert (len(found), set(found)) == (len(wanted), wanted)
        assert search.count_served(filters, most=1000) == len(found)
        assert search.count_served(filters, most=3) == min(len(found), 3)
        times = [verdicts[name].created_at for name in found]
        assert times == sorted(times, reverse=True)
        some += bool(found)
    assert some > 20


def test_a_label_takes_an_image_out_of_uncertain(search: Search, rows: Rows, database: Database) -> None:
    for name in ("cat", "dog"):
        rows.verdict(rows.image(name, sha256=uuid4().hex))
    uncertain, flagged = Filters(VerdictValue.UNCERTAIN), Filters(VerdictValue.AI_GENERATED)
    assert set(listed(search, uncertain)) == {"cat", "dog"}
    assert Labels(database).add(ANNA, "cat", LabelValue.AI_GENERATED, reviewer="anna", reason="hands")
    assert (listed(search, uncertain), listed(search, flagged)) == (["dog"], ["cat"])
    assert (search.count_served(uncertain, most=10), search.count_served(Filters(), most=10)) == (1, 2)


def test_erased_images_are_neither_listed_nor_counted(search: Search, rows: Rows, database: Database) -> None:
    for name in ("cat", "dog"):
        rows.verdict(rows.image(name))
    assert Erasure(database, "artifacts").erase(ANNA, "cat")
    assert (listed(search), search.count_served(Filters(), most=10)) == (["dog"], 1)


def test_views_are_ones_own_or_the_teams(database: Database) -> None:
    anna, ben = (ApiKeys(database).create(name, [Scope.READ]).id for name in ("anna", "ben"))
    views = SavedViews(database)
    views.add(anna, "mine", {"verdict": "uncertain"})
    views.add(None, "Ours", {"source": "posts"})
    assert [view.name for view in views.of(anna)] == ["mine", "Ours"]
    (ours,) = views.of(ben)
    assert ours.query == {"source": "posts"}
    assert not views.remove(ours.id, ben, of_team=False)
    assert views.remove(ours.id, ben, of_team=True)
    assert not views.remove(views.of(anna)[0].id, ben, of_team=True)
    for number in range(MOST_VIEWS - 1):
        views.add(anna, f"v{number}", {})
    with pytest.raises(TooManyViewsError):
        views.add(anna, "one more", {})

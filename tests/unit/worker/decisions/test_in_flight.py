"""The dispatcher's bound counts scans; messages only tell which of them were lost."""

import pytest

from worker.decisions.in_flight import Share, bulk_bound, bulk_places, share_of_round


@pytest.mark.parametrize(
    ("dispatched", "leased", "messages", "share"),
    [
        (0, 0, 0, Share(new=10, again=0)),
        (4, 3, 4, Share(new=3, again=0)),
        (10, 0, 10, Share(new=0, again=0)),  # nobody takes anything: a second message helps nobody
        (2, 1, 60, Share(new=7, again=0)),  # messages of scans that ended hold no scan up
        (5, 0, 2, Share(new=5, again=3)),  # three messages are lost
        (8, 7, 0, Share(new=0, again=8)),  # the broker forgot all
        (1, 0, 80, Share(new=0, again=0)),  # nobody empties the broker
    ],
)
def test_a_round_sends_what_has_room_and_what_was_lost(
    dispatched: int, leased: int, messages: int, share: Share
) -> None:
    assert share_of_round(dispatched=dispatched, leased=leased, messages=messages, bound=10) == share


def test_history_takes_no_more_of_a_worker_than_its_places_for_it() -> None:
    assert (bulk_places(32), bulk_places(2), bulk_places(1)) == (16, 1, 1)
    assert (bulk_bound(32, 512), bulk_bound(900, 512), bulk_bound(0, 512)) == (32, 512, 512)

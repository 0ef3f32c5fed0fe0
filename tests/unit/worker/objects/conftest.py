import pytest

from tests.unit.worker.objects.answering_store import Answer


@pytest.fixture
def answer() -> Answer:
    answer = Answer()
    answer.end.set()
    return answer

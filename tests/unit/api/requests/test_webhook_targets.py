"""Where webhooks may go, and what a platform that tries one at home is told."""

import pytest

from api.errors.problems import InvalidError
from api.requests.webhook_targets import TargetTerms


@pytest.mark.parametrize("url", ["http://platform.example/assay", "https://127.0.0.1:9977/assay"])
def test_a_refused_address_of_one_s_own_network_names_the_setting_that_allows_it(url: str) -> None:
    with pytest.raises(InvalidError, match="ASSAY_WEBHOOK_PRIVATE_ADDRESSES=true allows it"):
        TargetTerms(ports=(), private=False).check(url)
    assert TargetTerms(ports=(), private=True).check(url) == url


def test_an_address_that_no_setting_allows_names_none() -> None:
    for url in ("ftp://platform.example/", "https://platform.example:8443/"):
        with pytest.raises(InvalidError) as refused:
            TargetTerms(ports=(443,), private=False).check(url)
        assert "ASSAY_WEBHOOK_PRIVATE_ADDRESSES" not in str(refused.value)

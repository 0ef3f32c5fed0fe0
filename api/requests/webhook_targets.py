"""Where webhooks may go, as whoever names an address is told."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from api import parts
from api.errors.problems import InvalidError
from worker.targets import NotPublicError, TargetRefusedError, checked_url

_ALLOWS = "ASSAY_WEBHOOK_PRIVATE_ADDRESSES=true allows it"


@dataclass(frozen=True)
class TargetTerms:
    """Where webhooks may go: which ports, and whether to addresses that only we can reach."""

    ports: parts.WebhookPorts
    private: parts.WebhookPrivateAddresses

    def check(self, url: str) -> str:
        """Return the address; raises an InvalidError for one that we do not send to."""
        try:
            return checked_url(url, private=self.private, ports=self.ports)
        except NotPublicError as error:
            raise InvalidError("body", "url", f"{error.detail}; on a network of your own, {_ALLOWS}") from error
        except TargetRefusedError as error:
            raise InvalidError("body", "url", error.detail) from error


Targets = Annotated[TargetTerms, Depends()]

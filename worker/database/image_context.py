"""Where an image stands on the platform: the post that it belongs to, and who uploaded it, as a keyed hash alone."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.served import newest_image
from worker.database.session import Database
from worker.database.tables import Image, ImageContext
from worker.errors import AssayError


class NoActorKeyError(AssayError):
    """Set ASSAY_ACTOR_KEY to a secret of at least 32 characters first: actors are kept as hashes under it alone."""


@dataclass(frozen=True)
class PlaceOfImage:
    """What is known of where an image stands.

    Attributes:
        context_url: address of the post; None where it is not known.
        has_actor: whether it is known who uploaded it.
        others: the newest other images of the same uploader.
    """

    context_url: str | None
    has_actor: bool
    others: Sequence[Image]


class ImageContexts:
    """The table of contexts; an actor's own id is never stored."""

    def __init__(self, database: Database, actor_key: str | None) -> None:
        self._database = database
        self._key = actor_key

    def put(self, actor: Actor, image_id: str, *, context_url: str | None, actor_id: str | None) -> bool:
        """Say where the newest version of an image stands; what is None is forgotten.

        Returns:
            False when the image is unknown or erased.

        Raises:
            NoActorKeyError: an actor is named, and there is no key to hash it with.
        """
        hashed = None if actor_id is None else self._hash(actor_id)
        with self._database.transaction() as session:
            image = session.scalar(newest_image(image_id).with_for_update(read=True))
            if image is None:
                return False
            values = {"context_url": context_url, "actor_hash": hashed}
            new = upsert(ImageContext).values(image_pk=image.id, **values)
            session.execute(new.on_conflict_do_update(index_elements=[ImageContext.image_pk], set_=values))
            record(session, actor, "image.context", f"image:{image.id}", uploader=hashed is not None)
        return True

    def of(self, image_pk: int, *, limit: int) -> PlaceOfImage:
        """Return where an image stands, with at most ``limit`` other images of its uploader, the newest first."""
        with self._database.transaction() as session:
            place = session.get(ImageContext, image_pk)
            if place is None:
                return PlaceOfImage(None, has_actor=False, others=())
            if place.actor_hash is None:
                return PlaceOfImage(place.context_url, has_actor=False, others=())
            same = ImageContext.actor_hash == place.actor_hash
            others = (
                select(Image)
                .join(ImageContext, ImageContext.image_pk == Image.id)
                .where(same, Image.id != image_pk, Image.erased_at.is_(None))
                .order_by(ImageContext.image_pk.desc())
                .limit(limit)
            )
            return PlaceOfImage(place.context_url, has_actor=True, others=session.scalars(others).all())

    def forget_actor(self, actor: Actor, actor_id: str) -> int:
        """Forget where all images of an uploader stand, and that they are one's; return of how many images.

        Raises:
            NoActorKeyError: there is no key, so nobody was ever named.
        """
        gone = delete(ImageContext).where(ImageContext.actor_hash == self._hash(actor_id))
        with self._database.transaction() as session:
            images = len(session.scalars(gone.returning(ImageContext.image_pk)).all())
            record(session, actor, "actor.forget", "actor", images=images)
        return images

    def _hash(self, actor_id: str) -> str:
        if not self._key:
            raise NoActorKeyError
        return hmac.new(self._key.encode(), actor_id.encode(), "sha256").hexdigest()


def forget(session: Session, image_pks: Sequence[int]) -> None:
    """Forget where erased images stood, in the caller's transaction."""
    session.execute(delete(ImageContext).where(ImageContext.image_pk.in_(image_pks)))

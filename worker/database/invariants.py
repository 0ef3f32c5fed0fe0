"""What must hold in every database of Assay, whatever died meanwhile; `assay doctor --audit` asks it.

Each invariant is one statement that gives a line for each violation. Rows are named by their ids alone, so that what
is printed names no platform's image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.database.session import Database


@dataclass(frozen=True)
class Invariant:
    """A sentence that holds of every sound database, and the statement that finds what breaks it.

    Attributes:
        name: one word for machines.
        says: the same for people.
        violations: SQL that gives one text for each violation.
    """

    name: str
    says: str
    violations: str


@dataclass(frozen=True)
class InvariantResult:
    """How an invariant was found: how many violations there are, and the first of them."""

    invariant: Invariant
    violations: int
    listed: Sequence[str]


INVARIANTS = (
    Invariant(
        "one_live_scan",
        "every image has one live scan",
        "SELECT format('image %s has %s live scans', image.id, count(scan.id)) FROM image LEFT JOIN scan "
        "ON scan.image_pk = image.id AND scan.kind = 'live' GROUP BY image.id HAVING count(scan.id) <> 1",
    ),
    Invariant(
        "nothing_lost",
        "every completed scan has its verdict",
        "SELECT format('scan %s of image %s is completed without a verdict of %s', id, image_pk, bundle_version) "
        "FROM scan WHERE state = 'completed' AND kind NOT IN ('heatmap', 'thumbnail') AND NOT EXISTS ("
        "SELECT FROM verdict WHERE verdict.image_pk = scan.image_pk AND verdict.bundle_version = scan.bundle_version "
        "AND verdict.shadow = (scan.kind = 'shadow') AND decided_by <> 'human')",
    ),
    Invariant(
        "nothing_doubled",
        "a scan has one verdict, and so has an image for each bundle and policy",
        "SELECT format('scan %s has %s verdicts', scan_id, count(*)) FROM verdict "
        "WHERE decided_by <> 'human' AND scan_id IS NOT NULL GROUP BY scan_id HAVING count(*) > 1 UNION ALL "
        "SELECT format('image %s has %s verdicts of %s under policy %s', image_pk, count(*), bundle_version, "
        "policy_version) FROM verdict WHERE decided_by <> 'human' "
        "GROUP BY image_pk, bundle_version, policy_version, shadow HAVING count(*) > 1",
    ),
    Invariant(
        "verdicts_end_scans",
        "a machine's verdict belongs to a scan of its image that is completed",
        "SELECT format('verdict %s belongs to scan %s, which is %s', verdict.id, scan.id, scan.state) "
        "FROM verdict JOIN scan ON scan.id = scan_id WHERE decided_by <> 'human' "
        "AND (scan.state <> 'completed' OR scan.image_pk <> verdict.image_pk)",
    ),
    Invariant(
        "states_are_whole",
        "a scan's columns agree with its state",
        "SELECT format('scan %s is %s', id, state) FROM scan WHERE CASE "
        "WHEN state IN ('completed', 'rejected', 'dead') THEN due_at IS NOT NULL OR finished_at IS NULL "
        "OR lease_token IS NOT NULL OR (state <> 'completed' AND reason IS NULL) "
        "ELSE due_at IS NULL OR finished_at IS NOT NULL OR (state = 'leased') <> (lease_token IS NOT NULL) END",
    ),
    Invariant(
        "nothing_left_behind",
        "what was dispatched or leased, or trains, is taken up again once its time is over",
        "SELECT format('scan %s was %s until %s', id, state, due_at) FROM scan "
        "WHERE state IN ('dispatched', 'leased') AND due_at < now() - interval '10 minutes' "
        "AND NOT EXISTS (SELECT FROM scan AS older "
        "WHERE older.queue = scan.queue AND older.state = 'queued' AND older.due_at < scan.due_at) UNION ALL "
        "SELECT format('training run %s was leased until %s', id, lease_until) FROM training_run "
        "WHERE state = 'running' AND lease_until < now() - interval '10 minutes'",
    ),
    Invariant(
        "verdicts_follow_thresholds",
        "what pixels decide follows from probability and thresholds",
        "SELECT format('verdict %s is %s at %s, thresholds %s and %s', id, verdict, probability, lower_threshold, "
        "upper_threshold) FROM verdict WHERE decided_by IN ('machine', 'duplicate') AND CASE verdict "
        "WHEN 'ai_generated' THEN probability < upper_threshold "
        "WHEN 'not_ai_generated' THEN probability > lower_threshold ELSE probability > upper_threshold END",
    ),
    Invariant(
        "duplicates_are_equal",
        "a verdict taken over from another image is that of the same bytes and the same bundle",
        "SELECT format('verdict %s is taken from verdict %s', mine.id, other.id) FROM verdict AS mine "
        "JOIN verdict AS other ON other.id = mine.duplicate_of JOIN image ON image.id = mine.image_pk "
        "JOIN image AS first ON first.id = other.image_pk "
        "WHERE mine.bundle_version <> other.bundle_version OR image.sha256 <> first.sha256",
    ),
    Invariant(
        "champion_was_promoted",
        "the champion is the bundle that was promoted last",
        "SELECT format('%s serves, %s was promoted last', coalesce(champion.version, 'no bundle'), bundle_version) "
        "FROM (SELECT bundle_version FROM promotion ORDER BY id DESC LIMIT 1) AS last "
        "LEFT JOIN bundle AS champion ON champion.role = 'champion' "
        "WHERE champion.version IS DISTINCT FROM bundle_version",
    ),
    Invariant(
        "erased_is_forgotten",
        "of an erased image nothing is left that names it or shows what it was",
        "SELECT format('image %s', id) FROM image WHERE erased_at IS NOT NULL AND (sha256 IS NOT NULL "
        "OR pdq IS NOT NULL OR EXISTS (SELECT FROM feature WHERE feature.image_pk = image.id) "
        "OR EXISTS (SELECT FROM label WHERE label.image_pk = image.id) OR EXISTS (SELECT FROM verdict "
        "WHERE verdict.image_pk = image.id AND (content IS NOT NULL OR reviewer IS NOT NULL OR provenance <> '{}')))",
    ),
    Invariant(
        "append_only",
        "triggers keep what was decided from being changed",
        "SELECT format('table %s lacks %s', name, wanted) "
        "FROM (VALUES ('audit'), ('policy'), ('promotion'), ('retention'), ('verdict')) AS kept (name), "
        "(VALUES ('append_only'), ('append_only_truncate')) AS triggers (wanted) "
        "WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(name) AND tgname = wanted "
        "AND tgenabled IN ('O', 'A'))",
    ),
    Invariant(
        "indexes_hold",
        "the unique indexes that keep things single are there and whole",
        "SELECT format('index %s', name) FROM (VALUES ('uq_scan_live'), ('uq_verdict_machine'), "
        "('uq_image_bucket_key_version'), ('uq_bundle_champion'), ('uq_bundle_challenger')) AS wanted (name) "
        "WHERE NOT EXISTS "
        "(SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND indisunique AND indisvalid)",
    ),
)


def check_invariants(database: Database, *, most_listed: int = 20) -> Iterator[InvariantResult]:
    """Check one invariant after the other, each on one snapshot; nothing is locked or written.

    Args:
        database: of any deployment at this release's migration.
        most_listed: violations of each that are listed; all are counted.

    Raises:
        DatabaseDownError: the database is away.
    """
    for invariant in INVARIANTS:
        every = f"SELECT count(*) OVER (), * FROM ({invariant.violations}) AS violations"  # noqa: S608 # nosec B608
        with database.transaction() as session:
            session.execute(text("SET TRANSACTION READ ONLY"))
            rows = session.execute(text(f"{every} LIMIT :most"), {"most": most_listed}).all()
        yield InvariantResult(invariant, rows[0][0] if rows else 0, [offender for _, offender in rows])

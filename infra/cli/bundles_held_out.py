"""`assay bundles held-out`: the held-out figures of a card, made again from what lies beside the bundle."""

import json
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.bundles_open import folder_of
from worker.bundles.release import of_release


def held_out(
    bundle: Annotated[str, typer.Argument(help="`wild`, `cifake`, or a folder with a replay.parquet.")],
    write_card: Annotated[bool, typer.Option("--write-card", help="Put the figures on the card.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Calibrate and measure a bundle again on the held-out images that its replay holds, beside the card's figures."""
    # torch takes seconds to import; usage errors should not.
    from training.calibration.held_out_again import as_json, as_text, tell_again, write_again

    with folder_of(bundle) as folder:
        if write_card and not Path(bundle).is_dir() and folder not in [shipped for shipped, _ in of_release()]:
            raise typer.BadParameter("a card is written into a folder: `assay bundles export` it first")
        again = tell_again(folder)
        if write_card:
            write_again(folder, again)
    print(json.dumps(as_json(again)) if json_ else as_text(again), end="\n" if json_ else "")

"""What TensorBoard is given."""

from dataclasses import replace
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from training.fitting.curves import Curves
from training.recipe_file import load_recipe


def test_everything_a_fit_was_made_with_is_noted(tmp_path: Path) -> None:
    """Lists among it too, which TensorBoard's own types do not hold."""
    part = load_recipe("wild").detectors[0]
    part = replace(part, fit=replace(part.fit, draw_as=("native", "halved")))
    with Curves(tmp_path, 0) as curves:
        curves.hyperparameters(part, {"final/loss": 0.5})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    noted = HParamsPluginData.FromString(
        events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    ).session_start_info.hparams
    assert noted["draw_as"].string_value == "native halved"
    assert noted["batch_size"].number_value == part.fit.batch_size
    assert events.Scalars("final/loss")[0].value == 0.5

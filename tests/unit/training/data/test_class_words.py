import pytest

from training.data.class_words import AmbiguousNameError, class_folder, label_of, label_of_value, part_of


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("FAKE", 1),
        ("REAL", 0),
        ("0_real", 0),
        ("1_fake", 1),
        ("training_fake", 1),
        ("AiArtData", 1),
        ("RealArt", 0),
        ("ai", 1),
        ("nature", 0),
        ("ai-generated", 1),
        ("AI_GENERATED", 1),
        ("not_ai_generated", 0),
        ("non-AI", 0),
        ("human", 0),
        ("not_real", 1),
        ("photos_no_flash", 0),
        ("real_no_watermark", 0),
        ("original_not_edited", 0),
        ("faces_no_makeup_real", 0),
        ("ai_no_text", 1),
        ("real-not-ai", 0),
        ("no-photos", None),
        ("no_flash_photos", 0),
        ("not_made_by_ai", 0),
        ("not_an_ai_image", 0),
        ("not created by AI", 0),
        ("not_a_real_photo", 1),
        ("not_edited_real", None),
        ("real-vs-fake", None),
        ("images", None),
        ("hair", None),
        ("realistic", None),
    ],
)
def test_a_folder_names_its_class_in_any_spelling(name: str, label: int | None) -> None:
    assert label == label_of(name)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("1", 1),
        ("0", 0),
        ("1.0", 1),
        ("6", 1),
        ("real", 0),
        ("Fake", 1),
        ("true", 1),
        ("not_ai_generated", 0),
        ("?", None),
    ],
)
def test_a_cell_is_a_number_a_truth_or_a_word(value: str, label: int | None) -> None:
    assert label == label_of_value(value)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "training"),
        ("Training", "training"),
        ("valid", "validation"),
        ("test", "test"),
        ("cifake-test", "test"),
        ("x", None),
    ],
)
def test_a_name_tells_the_part(name: str, part: str | None) -> None:
    assert part == part_of(name)


def test_the_plain_name_goes_before_the_one_that_says_more() -> None:
    assert class_folder(("set", "fake", "real_esrgan")) == 1
    assert class_folder(("sdxl_fake", "512")) == 0
    assert class_folder(("pictures", "512")) is None


def test_two_plain_names_that_disagree_are_an_error() -> None:
    with pytest.raises(AmbiguousNameError, match="fake/real"):
        class_folder(("fake", "real"))

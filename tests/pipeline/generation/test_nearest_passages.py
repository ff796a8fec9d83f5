"""Nearest passages: by the words that are shared and rare, in any script."""

from pipeline.generation.nearest_passages import PassageIndex


def test_rare_words_count_for_more_and_equal_passages_stand_in_their_order() -> None:
    index = PassageIndex(["the river ends", "the loaf ends", "the loaf ends", "a gas"])
    assert index.nearest("Where ends the River?", 2) == [0, 1]
    assert index.nearest("the loaf", 3) == [1, 2, 0]


def test_what_shares_no_word_is_not_near() -> None:
    index = PassageIndex(["the river ends", "a gas"])
    assert index.nearest("loaf", 2) == []
    assert index.nearest("gas?", 2) == [1]
    assert PassageIndex(["...", "!"]).nearest("gas", 2) == []


def test_scripts_without_spaces_are_compared_by_their_characters() -> None:
    assert PassageIndex(["多瑙河流入黑海", "面包发酵"]).nearest("黑海在哪里", 2) == [0]

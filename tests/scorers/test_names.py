from scorers.names import did_you_mean


def test_the_nearest_name_is_offered_and_all_are_named_in_order() -> None:
    assert did_you_mean("rondom", ["top_k", "random"]) == (
        "Did you mean 'random'? There are: random, top_k."
    )


def test_a_name_like_none_is_only_told_what_there_is() -> None:
    assert did_you_mean("zebra", {"random": 1}) == "There are: random."
    assert did_you_mean("zebra", []) == "There are: none."

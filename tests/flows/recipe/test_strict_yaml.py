"""What YAML would take without a word, or another way than it was meant."""

import pytest
import yaml

from flows.recipe.strict_yaml import read_yaml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nname: a\nseed: 2\n", "'seed' stands twice, on lines 1 and 3"),
        ("select:\n  held_out: 0\n  steps: []\n  held_out: 1\n", "'held_out' stands twice"),
        ("steps:\n- {method: random, method: top_k}\n", "'method' stands twice"),
        ('{"seed": 1, "seed": 1}', "'seed' stands twice"),
        ("1: a\n1: b\n", "1 stands twice"),
        (
            "seed: 9223372036854775808",
            "9223372036854775808 on line 1 is beyond 9223372036854775807",
        ),
        (f"seed: -{10**400}", "is beyond"),
        ("at_most: .nan", r"\.nan on line 1 is no number to go by"),
        ("at_least: -.inf", "where there is no bound, leave it out"),
        ("at_most: 1.0e+999", "is no number to go by"),
        ("n: " + "9" * 5000, "'9{30}' on line 1 is no int that can be read"),
        ("n: 1\nday: 2026-06-31", "'2026-06-31' on line 2 is no timestamp.*in quotes"),
        ("n: !!int ''", "'' on line 1 is no int"),
        ("n: !!bool x", "'x' on line 1 is no bool"),
        ("n: !!float x", "'x' on line 1 is no float"),
        ("n: !!timestamp x", "'x' on line 1 is no timestamp"),
        ("2026-13-01: 1", "'2026-13-01' on line 1 is no timestamp"),
        ("# " + "x" * 2**20, "more than 1,048,576 characters"),
        ("[" * 20_000, "nested too deeply"),
        ("? [a]\n: 1\n", "unhashable key"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_it_is_refused_with_where_it_stands(text: str, said: str) -> None:
    with pytest.raises(yaml.YAMLError, match=said):
        read_yaml(text)


def test_what_is_meant_is_read() -> None:
    text = "base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\nn: 9223372036854775807\nf: 0.5\n"
    assert read_yaml(text) == {
        "base": {"a": 1, "b": 2},
        "own": {"a": 1, "b": 3},
        "n": 2**63 - 1,
        "f": 0.5,
    }

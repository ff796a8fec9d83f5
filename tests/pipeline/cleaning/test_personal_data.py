import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from detect_secrets.plugins import jwt, npm, openai
from detect_secrets.plugins.base import RegexBasedDetector
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.personal_data import (
    REST_OF_KEY,
    PIIHit,
    PIIKind,
    find_npm,
    find_openai,
    find_personal_data,
    find_web_tokens,
    redact,
)

KEY_END = "-----END RSA PRIVATE KEY-----"
# Put together, so that no scanner of this repository takes them for keys.
AWS = "AKIA" + "Q3EGRZT7NXAMPLE2"
GITHUB = "ghp_" + "a1B2" * 9
LETTERS = "a1B2c3D4e5"
NEWER = [
    "sk-" + "proj-" + LETTERS * 4 + "_x-Y",
    "sk-" + "svcacct-" + LETTERS * 12,
    "sk-" + "ant-api03-" + LETTERS * 9 + "-AA",
    "sk-" + "or-v1-" + "0a1b2c3d" * 8,
    "AI" + "za" + LETTERS * 3 + "_-Xy9",
    "GOCS" + "PX-" + LETTERS * 2 + "a-b_c1D2",
    "hf" + "_" + LETTERS * 3 + "AbCd",
    "gsk" + "_" + LETTERS * 5 + "Zz",
    "xai" + "-" + LETTERS * 8,
    "pplx" + "-" + LETTERS * 4 + "a1B2c3D4",
    "r8" + "_" + LETTERS * 3 + "a1B2c3D",
    "dapi" + "0a1b2c3d" * 4,
    "github" + "_pat_" + LETTERS * 2 + "a1_" + LETTERS * 5 + "a1B2c3D4e",
    "lin" + "_api_" + LETTERS * 4,
]
TOKEN = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxIn0." + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r"


def found(text: str, *regions: str) -> list[tuple[PIIKind, str]]:
    return [
        (hit.kind, text[hit.start : hit.end]) for hit in find_personal_data(text, regions=regions)
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "jane.doe+x@mail.firm.co.uk"),
        ("email", "o_1@firm.io"),
        ("phone", "+44 20 7946 0018"),
        ("phone", "+1 (415) 555-2671"),
        ("key", AWS),
        ("key", GITHUB),
        ("key", TOKEN),
        *(("key", key) for key in NEWER),
        ("key", f"-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n{KEY_END}"),
        ("card", "4111 1111 1111 1111"),
        ("card", "378282246310005"),
        ("card", "5555-5555-5555-4444"),
        ("iban", "GB82 WEST 1234 5698 7654 32"),
        ("iban", "DE89370400440532013000"),
        ("iban", "BE68 5390 0754 7034"),
        ("ip", "8.8.8.8"),
        ("ip", "2001:4860:4860::8888"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "see {}.", "({}) ", "Write {}, now\n", "A {} THIS"])
def test_each_kind_is_found_whole_and_alone(kind: PIIKind, text: str, around: str) -> None:
    assert found(around.format(text)) == [(kind, text)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "me@example.com, you@sub.example.org, it@host.test",
        "a@b, @name, x@y.z1, git@github",
        "4111 1111 1111 1112",  # check digit
        "9111 1111 1111 1110",  # no network
        "GB82 WEST 1234 5698 7654 33",
        "XX00 1234 1234 1234 1234",
        "192.168.0.1, 127.0.0.1, 10.0.0.5, ::1, 256.1.1.1, 1.2.3.4.5",
        "at 10:20:30, version 1.2.3, 3.14159265358979",
        "(415) 555-2671",  # of no region
        "8462735194 5267357841 1948571236",
        "sk-this-is-no-key, AKIAshort, ghp_short",
        "sk-proj-your-key, AIzaYourKey, hf_model, gsk_, dapi, task-proj-" + "a1" * 30,
        "def f(x): return x @ y.T",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_region_has_its_own_way_of_writing_numbers() -> None:
    text = "Call (415) 555-2671 or 030 901820"
    assert found(text, "US") == [("phone", "(415) 555-2671")]
    assert found(text, "US", "DE") == [("phone", "(415) 555-2671"), ("phone", "030 901820")]


def test_only_the_kinds_that_are_asked_for_are_looked_for() -> None:
    text = f"jane@firm.io 8.8.8.8 {AWS}"
    assert [hit.kind for hit in find_personal_data(text, ["ip", "email"])] == ["email", "ip"]


def test_of_hits_that_overlap_one_stays() -> None:
    text = "DE89 3704 0044 0532 0130 00 and https://hooks.slack.com/services/T1/B2/x@firm.io"
    kinds = [kind for kind, _ in found(text, "DE", "US")]
    assert kinds == ["iban", "key"]


def test_a_private_key_that_is_cut_off_is_one_to_its_end() -> None:
    text = "key:\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1\nxyz"
    assert redact(text, find_personal_data(text)) == "key:\n[KEY]"


def test_what_is_redacted_names_its_kind() -> None:
    text = f"Mail jane@firm.io or call +44 20 7946 0018; token {TOKEN}."
    expected = "Mail [EMAIL] or call [PHONE]; token [KEY]."
    assert redact(text, find_personal_data(text)) == expected
    assert find_personal_data(expected) == []
    assert redact("abcd", [PIIHit(2, 3, "ip"), PIIHit(0, 1, "key")]) == "[KEY]b[IP]d"


@given(st.text("a@.:+0123456789 -GB", max_size=60))
def test_hits_are_in_order_and_apart(text: str) -> None:
    hits = find_personal_data(text, regions=["US"])
    assert all(0 <= hit.start < hit.end <= len(text) for hit in hits)
    assert all(a.end <= b.start for a, b in pairwise(hits))


def test_unknown_kinds_and_regions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no kinds \['mail'\]"):
        find_personal_data("", ["mail"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"no regions \['us'\]"):
        find_personal_data("", regions=["us"])


@pytest.mark.parametrize(
    ("detector", "finder", "parts"),
    [
        (jwt.JwtTokenDetector(), find_web_tokens, ["eyJ", "a", ".", "=", "-", "_", " ", "/", "ey"]),
        (
            npm.NpmDetector(),
            find_npm,
            ["//", "a", "/:_authToken=", "npm_", " ", "\n", "/", "0" * 36, "f" * 35, "n", "//r/"],
        ),
        (
            openai.OpenAIDetector(),
            find_openai,
            ["sk-", "A" * 20, "T3BlbkFJ", "a", "-", "_", " ", "B" * 19, "."],
        ),
    ],
)
def test_keys_are_found_where_the_detectors_find_them(
    detector: RegexBasedDetector,
    finder: Callable[[str], Iterator[tuple[int, int]]],
    parts: list[str],
) -> None:
    draw, found = random.Random(0), 0
    for _ in range(4000):
        text = "".join(draw.choices(parts, k=draw.randint(1, 14)))
        theirs = sorted({hit.span() for each in detector.denylist for hit in each.finditer(text)})
        ours = sorted(finder(text))
        assert [start for start, _ in ours] == [start for start, _ in theirs], text
        for (_, end), (_, their_end) in zip(ours, theirs, strict=True):
            assert end_of_run(text, end) == end_of_run(text, their_end), text
        found += len(ours)
    assert found > 20


def end_of_run(text: str, end: int) -> int:
    """Where a key ends, with what still belongs to it."""
    rest = REST_OF_KEY.match(text, end)
    assert rest is not None
    return rest.end()

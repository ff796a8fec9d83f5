"""Personal data and secrets in a text: where they stand, and the text without them.

    email    an address, but for those of domains that are reserved for examples (RFC 2606)
    phone    a number that can be dialled: with its country code, or as written in a named region
    key      an access key, a token, or a private key, as services write them
    card     13 to 19 digits as a card network issues them, with the right check digit
    iban     an account number of the right length and check digits for its country
    ip       an address that is reachable from anywhere

What can be checked is: a card by its check digit, an account number by its country's rules, a phone
number against the numbering plans (`phonenumbers`, `python-stdnum`, `ipaddress`). Keys are told by
the patterns of `detect-secrets`, and those of services that it does not know by their prefixes.
Each is marked as [EMAIL], [PHONE] and so on where it is redacted.

Use it to keep addresses and secrets out of a set, and to count them in it. It finds what has a form
of its own; names, places and dates of birth have none, and a text without a hit may still tell who
it is about. Do not take it for anonymisation. Sudoku grids and part numbers can be valid phone
numbers of a region, so name regions only where data is from there.

A thousand rows take a fifth of a second.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from itertools import chain
from typing import Literal, get_args

import phonenumbers
from detect_secrets.plugins import (
    aws,
    azure_storage_key,
    discord,
    github_token,
    gitlab_token,
    mailchimp,
    pypi_token,
    sendgrid,
    slack,
    square_oauth,
    stripe,
    telegram_token,
    twilio,
)
from detect_secrets.plugins.base import RegexBasedDetector
from stdnum import iban, luhn

VERSION = 2  # raise it whenever the same text may give other hits

PIIKind = Literal["email", "phone", "key", "card", "iban", "ip"]

# Of two hits that overlap, the kind that comes first here stays.
PRECEDENCE: tuple[PIIKind, ...] = ("key", "iban", "card", "email", "phone", "ip")

EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9_](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_%+-])?"  # at most 64 (RFC 5321)
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})(?![\w-])"
)
RESERVED = re.compile(r"(?i)(?:^|\.)(?:example(?:\.com|\.net|\.org)?|test|invalid|localhost)$")

CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
# First digits and lengths of Visa, Mastercard, American Express, Discover; Diners Club, JCB.
ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|5\d\d)\d{12}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}"
)

IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![a-z])")
SHORTEST_IBAN = 15  # Norway's

IP = re.compile(
    r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![\w:-]|\.\d)"
)

PRIVATE_KEY = re.compile(
    r"-{5}BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-{5}"
    r"(?:.*?-{5}END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-{5}|.*)",  # without its end: all that follows
    re.DOTALL,
)
# Prefixes with as many signs behind them as a service writes, or nearly: no example of a manual.
NEWER_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40}"  # OpenAI, for projects
    r"|sk-ant-[a-z0-9]{3,10}-[A-Za-z0-9_-]{80}"  # Anthropic
    r"|sk-or-v1-[0-9a-f]{64}"  # OpenRouter
    r"|AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}"  # Google
    r"|hf_[A-Za-z0-9]{34}"  # Hugging Face
    r"|gsk_[A-Za-z0-9]{52}"  # Groq
    r"|xai-[A-Za-z0-9]{70}"
    r"|pplx-[A-Za-z0-9]{48}"
    r"|r8_[A-Za-z0-9]{37}"  # Replicate
    r"|dapi[0-9a-f]{32}"  # Databricks
    r"|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"
    r"|lin_api_[A-Za-z0-9]{40}"
    r")"
)
# What still belongs to a key behind the part that its pattern knows; no full stop of a sentence.
REST_OF_KEY = re.compile(r"[\w\-./+=]*[\w\-/+=]|")


# What detect-secrets looks for with patterns that look ahead at each place, one pass each: the run
# that a token can be in is taken whole, and what must stand in it is looked for there.
TOKEN_RUN = re.compile(r"eyJ[A-Za-z0-9_=-]++(\.[A-Za-z0-9_=-]+\.?)?")
OPENAI_RUN = re.compile(r"sk-[A-Za-z0-9_-]*+")
OPENAI_MARK = "T3BlbkFJ"
OPENAI_END = re.compile(rf"[A-Za-z0-9]{{20}}{OPENAI_MARK}[A-Za-z0-9]{{20}}")
NPM_MARK = "/:_authToken="
NPM_TOKEN = re.compile(r"\s*+(?:npm_.|[A-Fa-f0-9-]{36}).*+")


@dataclass(frozen=True, slots=True, order=True)
class PIIHit:
    """A place in a text."""

    start: int
    end: int
    kind: PIIKind


@cache
def key_patterns() -> tuple[re.Pattern[str], ...]:
    """How services write their keys; no service is asked."""
    detectors: tuple[RegexBasedDetector, ...] = (
        aws.AWSKeyDetector(),
        azure_storage_key.AzureStorageKeyDetector(),
        discord.DiscordBotTokenDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        mailchimp.MailchimpDetector(),
        pypi_token.PypiTokenDetector(),
        sendgrid.SendGridDetector(),
        slack.SlackDetector(),
        square_oauth.SquareOAuthDetector(),
        stripe.StripeDetector(),
        telegram_token.TelegramBotTokenDetector(),
        twilio.TwilioKeyDetector(),
    )
    return tuple(pattern for each in detectors for pattern in each.denylist)


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """Addresses of domains that can be real."""
    for found in EMAIL.finditer(text) if "@" in text else ():
        if not RESERVED.search(found[1]):
            yield found.span()


def find_phones(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Numbers that a numbering plan has, international ones and those of the regions."""
    for region in regions or (None,):
        for found in phonenumbers.PhoneNumberMatcher(text, region):
            raw = found.raw_string
            # In "(+44 20 ... for help)" the bracket is not the number's: the hit starts behind it.
            opened = raw.startswith("(") and raw.count("(") > raw.count(")")
            yield found.start + opened, found.end


def find_keys(text: str) -> Iterator[tuple[int, int]]:
    """Keys and tokens, to their ends."""
    yield from (found.span() for found in PRIVATE_KEY.finditer(text))
    found = (each.span() for pattern in key_patterns() for each in pattern.finditer(text))
    begun = rest = 0  # of the run that followed the last one
    newer = (each.span() for each in NEWER_KEYS.finditer(text))
    others = (newer, find_web_tokens(text), find_openai(text), find_npm(text))
    for start, end in chain(found, *others):
        if not begun <= end < rest:  # else it is in that run, which is not gone through again
            begun, rest = end, REST_OF_KEY.match(text, end).end()  # type: ignore[union-attr]
        yield start, rest


def find_web_tokens(text: str) -> Iterator[tuple[int, int]]:
    """Tokens in JSON (JWT), but for the signature."""
    return (each.span() for each in TOKEN_RUN.finditer(text) if each[1])


def find_openai(text: str) -> Iterator[tuple[int, int]]:
    """Keys of OpenAI: the last mark of a run, with its sides."""
    for run in OPENAI_RUN.finditer(text) if OPENAI_MARK in text else ():
        at = run.end()
        while (at := text.rfind(OPENAI_MARK, run.start(), at)) >= 0:
            found = OPENAI_END.match(text, max(at - 20, run.start() + len("sk-")), run.end())
            if found and found.start() == at - 20:
                yield run.start(), found.end()
                break


def find_npm(text: str) -> Iterator[tuple[int, int]]:
    """Tokens of npm's registries: the last of a line, from the address on."""
    reached = 0
    while (at := text.find(NPM_MARK, reached)) >= 0:
        begin = max(text.rfind("\n", 0, at) + 1, reached)
        line = text.find("\n", at)
        line = len(text) if line < 0 else line
        start, last = text.find("//", begin, line), line
        reached = line
        while start >= 0 and (last := text.rfind(NPM_MARK, start + 3, last)) >= 0:
            if found := NPM_TOKEN.match(text, last + len(NPM_MARK)):
                yield start, found.end()
                reached = max(line, found.end())
                break


def find_cards(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of cards."""
    for found in CARD.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        if ISSUED.fullmatch(digits) and luhn.is_valid(digits):
            yield found.span()


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """Account numbers; capitals that follow are told from them by the country's length."""
    for found in IBAN.finditer(text):
        # From the longest down to SHORTEST_IBAN characters: a range stops before its end.
        for end in range(found.end(), found.start() + SHORTEST_IBAN - 1, -1):
            number = text[found.start() : end]
            if number[-1] != " " and iban.is_valid(number, check_country=False):
                yield found.start(), end
                break


def find_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Addresses of machines that are reachable from anywhere."""
    for found in IP.finditer(text):
        try:
            public = ip_address(found[0]).is_global
        except ValueError:  # not an address: 1.2.3.999, or the time 10:20:30
            continue
        if public:
            yield found.span()


def find_personal_data(
    text: str,
    kinds: Sequence[PIIKind] = get_args(PIIKind),
    regions: Sequence[str] = (),
) -> list[PIIHit]:
    """Every place of personal data in a text, in order; none overlaps another.

    Args:
        text: to look in.
        kinds: what to look for.
        regions: codes of the regions whose own way of writing phone numbers counts, as "US"; with
            none, only numbers with a country code are found.

    Raises:
        ValueError: if there is no such kind or region.
    """
    check_kinds(kinds, regions)
    finders: dict[PIIKind, Callable[[], Iterator[tuple[int, int]]]] = {
        "email": lambda: find_emails(text),
        "phone": lambda: find_phones(text, regions),
        "key": lambda: find_keys(text),
        "card": lambda: find_cards(text),
        "iban": lambda: find_ibans(text),
        "ip": lambda: find_addresses(text),
    }
    hits: list[PIIHit] = []
    for kind in PRECEDENCE:
        found, place = [], 0
        last = 0  # where the hit before ends
        for start, end in sorted(finders[kind]()) if kind in kinds else ():
            while place < len(hits) and hits[place].end <= start:
                place += 1
            free = place == len(hits) or end <= hits[place].start
            if free and last <= start:
                found.append(PIIHit(start, end, kind))
                last = end
        hits = sorted(hits + found)
    return hits


def check_kinds(kinds: Sequence[str], regions: Sequence[str]) -> None:
    """Check that there are such kinds and regions.

    Raises:
        ValueError: if not.
    """
    wrong = sorted(set(kinds) - set(PRECEDENCE))
    if wrong:
        raise ValueError(f"no kinds {wrong}; there are: {sorted(PRECEDENCE)}")
    unknown = sorted(set(regions) - set(phonenumbers.SUPPORTED_REGIONS))
    if unknown:
        raise ValueError(f"no regions {unknown}; give codes of ISO 3166 in capitals, as US or DE")


def redact(text: str, hits: Sequence[PIIHit]) -> str:
    """The text with each hit replaced by its kind, as [EMAIL]."""
    pieces, reached = [], 0
    for hit in sorted(hits):
        pieces += [text[reached : hit.start], f"[{hit.kind.upper()}]"]
        reached = hit.end
    return "".join([*pieces, text[reached:]])

"""A model that is none: whose tokens the exports of tests say that they count."""

from storage.exports_manifest import ModelIdentity

SOME_MODEL = ModelIdentity(
    reference="m",
    fingerprint="f",
    tokenizer_fingerprint="t",
    template="chat",
    template_fingerprint="c",
)

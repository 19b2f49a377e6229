"""Text by domain, as ``NAME=SOURCE[:SHARE]``: parsed, read, drawn by shares of tokens, and held out for a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from re import fullmatch
from typing import TYPE_CHECKING, Any

from paribus.cli.parts_inputs import Reading
from paribus.cli.parts_progress import say
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.data.chat import Encoded
    from paribus.records import Document

TEST_ITEMS = "test_items.jsonl"
ROUTING = "routing.jsonl"


def parse_sources(given: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=SOURCE`` words as a mapping. Raises ``ConfigError`` naming the option."""
    found: dict[str, str] = {}
    for word in given:
        name, _, source = word.partition("=")
        if not fullmatch(r"[\w.-]+", name) or not source:
            raise ConfigError(f"{option} is {word!r}; write NAME=SOURCE, such as code=code.jsonl.")
        if name in found:
            raise ConfigError(f"{option} names {name!r} twice; give each domain one source.")
        found[name] = source
    return found


def parse_domains(given: Sequence[str]) -> dict[str, tuple[str, float]]:
    """``NAME=SOURCE[:SHARE]`` words as source and share; what has no share takes an equal part of what is left.

    Raises ``ConfigError`` for shares that leave nothing to those without one, or do not add to 1.
    """
    sources: dict[str, str] = {}
    shares: dict[str, float] = {}
    for name, source in parse_sources(given, "--text").items():
        place, colon, number = source.rpartition(":")
        is_share = bool(place and colon) and fullmatch(r"[\d.]+(e-?\d+)?%?", number) is not None
        sources[name] = place if is_share else source
        if is_share:
            shares[name] = _share(name, number)
    left, open_ = 1.0 - sum(shares.values()), len(sources) - len(shares)
    if open_ and left > 1e-9:
        shares |= {name: left / open_ for name in sources if name not in shares}
    elif open_ or not isclose(left, 0.0, abs_tol=1e-6):
        told = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        rest = f", and nothing is left for {open_} more" if open_ else ""
        raise ConfigError(f"The shares of --text ({told}) add to {1.0 - left:g}{rest}; shares of all domains add to 1.")
    return {name: (source, shares[name]) for name, source in sources.items()}


def _share(name: str, number: str) -> float:
    try:
        share = float(number.removesuffix("%")) / (100.0 if number.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"The share of --text {name} is {number!r}; give a number above 0 and up to 1, such as 0.25.")
    return share


@dataclass(frozen=True)
class Drawn:
    """Encoded rows of all domains, and for ``run.json`` what each domain is and gave."""

    rows: list["Encoded"]
    facts: dict[str, Any]


def draw(
    texts: Mapping[str, Sequence["Document"]],
    domains: Mapping[str, tuple[str, float]],
    vocabulary: Any,
    *,
    length: int,
    tokens: int | None,
    repeat: bool,
    seed: int,
) -> Drawn:
    """Cut every domain's documents to ``length``, and draw rows by the shares. Errors as ``mix_documents``."""
    from paribus.cli.parts_record import rows_hash
    from paribus.data.documents import encode_documents, mix_documents

    encoded = {
        name: encode_documents(vocabulary, [row.text for row in rows], length=length) for name, rows in texts.items()
    }
    shares = {name: share for name, (_, share) in domains.items()}
    rows, account = mix_documents(encoded, shares, tokens=tokens, repeat=repeat, seed=seed)
    facts = {}
    for name, given in account.items():
        whole = {"source": domains[name][0], "documents": len(texts[name]), "hash": rows_hash(texts[name])}
        facts[f"text {name}"] = whole | given.as_dict()
        say(
            f"{name}: {given.tokens:,} tokens, {given.share:.1%} of all (asked for: {given.wanted:.1%}); "
            f"passes over its text: {given.epochs:.3g}"
        )
    return Drawn(rows, facts)


@dataclass
class HeldOut:
    """Test documents, and a model's bits per byte on them before and after training."""

    documents: list["Document"]
    sources: dict[str, str]
    first: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, sources: dict[str, str], reading: Reading) -> "HeldOut":
        """The documents of the sources, read with the options of the command."""
        names = sources.items()
        return cls([row for name, place in names for row in reading.documents(place, name, f"test-{name}")], sources)

    def facts(self) -> dict[str, Any]:
        """For ``run.json``: what each name is."""
        from paribus.cli.parts_record import rows_hash

        groups = {name: [row for row in self.documents if row.domain == name] for name in self.sources}
        return {
            f"test {name}": {"source": self.sources[name], "documents": len(rows), "hash": rows_hash(rows)}
            for name, rows in groups.items()
        }

    def tell_seen(self, texts: Mapping[str, Sequence["Document"]]) -> None:
        """Say how many held-out documents are training documents too."""
        seen = {row.text for rows in texts.values() for row in rows}
        count = sum(row.text in seen for row in self.documents)
        if count:
            say(
                f"Warning: {count} of {len(self.documents)} held-out documents are training text as well, word by word."
            )

    def before(self, network: Any, vocabulary: Any) -> None:
        """Measure the model that training starts from."""
        self.first = _means(self._scores(network, vocabulary))

    def after(self, network: Any, vocabulary: Any, out: Path) -> dict[str, Any]:
        """Measure the model as it was saved, in float32: item rows to a file, a line to the reader, means for the
        record. A mixture also tells where its routers send the text.
        """
        if not self.documents:
            return {}
        from paribus.evaluation.bits import bits_rows, perplexity
        from paribus.evaluation.items import write_item_rows

        scores = self._scores(network.float(), vocabulary)
        write_item_rows(out / TEST_ITEMS, bits_rows(scores))
        last = _means(scores)
        told = ", ".join(f"{name} {last[name]:.4f} (before: {self.first[name]:.4f})" for name in last)
        say(f"Held-out bits per byte: {told}.")
        pairs = {name: {"before": self.first[name], "after": last[name]} for name in last}
        more = _routing(network, vocabulary, self.documents, out)
        return {"bits_per_byte": pairs, "perplexity": perplexity(scores), **more}

    def _scores(self, network: Any, vocabulary: Any) -> list[Any]:
        from paribus.evaluation.bits import score_documents

        return score_documents(network, vocabulary, self.documents)


def _means(scores: Sequence[Any]) -> dict[str, float]:
    """Mean bits per byte by domain, every document weighing the same."""
    from statistics import fmean

    domains = dict.fromkeys(score.domain for score in scores)
    return {name: fmean(score.bits_per_byte for score in scores if score.domain == name) for name in domains}


def _routing(network: Any, vocabulary: Any, documents: Sequence["Document"], out: Path) -> dict[str, Any]:
    """A mixture's routing of the documents as a file, and an alarm for experts that hardly get any token."""
    from paribus.evaluation.routing_maps import dead_experts, routing_maps, write_routing_rows

    if not hasattr(network.config, "ffn_experts"):
        return {}
    rows = routing_maps(network, vocabulary, documents)
    write_routing_rows(out / ROUTING, rows)
    dead = [row._asdict() for row in dead_experts(rows)]
    for row in dead:
        expert = f"{row['branch']} expert {row['expert']} of layer {row['layer']}"
        say(f"Warning: {expert} gets {row['share']:.2%} of the held-out text.")
    return {"dead_experts": dead}

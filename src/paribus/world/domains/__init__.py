"""Four domains of text that differ in structure, not only in vocabulary, in any language of the embedded world.

What lives here: ``general`` (facts, lists and dates), ``code`` (programs and what they print), ``law`` (numbered
clauses with terms, amounts and references), ``math`` (derivations step by step). All are drawn from the words the world
has, so any amount of text can be had without a network, and the same config gives the same bytes. Every document ends
in an answer that follows from what stands before it; a question is such a document with its end left open. What may
not: models, tokenizers, and any randomness that does not come from the config's seed.
"""

from paribus.world.domains.domains import DOMAINS, PARTS, Domains, DomainsConfig

__all__ = ["DOMAINS", "PARTS", "Domains", "DomainsConfig"]

"""Which tensor of a mixture is made of which pieces of its dense sources: names and shapes only, no values.

Names and orders are the contract with ``models.mixture``: fused q, k, v with the experts behind each other in each of
them, output projections side by side, and two stacks for the feed-forward experts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from paribus.errors import ConfigError
from paribus.weights.families import Architecture
from paribus.weights.recipes import Piece, Recipe
from paribus.weights.upcycling_settings import Assignment, Blend, Part


def plan(dense: Architecture, assignment: Assignment) -> list[Recipe]:
    """Every tensor of the mixture, layer by layer. Raises ``ConfigError`` where an FFN cannot be cut as asked."""
    _check_parts(dense, assignment)
    outer = [_whole(name, shape, assignment.rest) for name, shape in dense.outer().items()]
    layers = range(dense.num_hidden_layers)
    return outer[:1] + [r for layer in layers for r in _layer(dense, assignment, f"model.layers.{layer}.")] + outer[1:]


def expert_width(dense: Architecture, assignment: Assignment) -> int:
    """Inner width of one FFN expert."""
    return sum(dense.intermediate_size // part.of for part in assignment.ffn[0])


def _check_parts(dense: Architecture, assignment: Assignment) -> None:
    """``ConfigError`` unless every part of an FFN has the same width."""
    for part in assignment.ffn[0]:
        if dense.intermediate_size % part.of:
            raise ConfigError(
                f"split is {part.of}, which does not divide the FFN's inner width {dense.intermediate_size}; choose a "
                "divisor of it."
            )


def _layer(dense: Architecture, assignment: Assignment, prefix: str) -> Iterator[Recipe]:
    for name, shape in dense.norms().items():
        yield _whole(prefix + name, shape, assignment.rest)
    yield from _attention(dense, assignment, prefix + "self_attn.")
    yield from _ffn(dense, assignment, prefix + "mlp.")


def _attention(dense: Architecture, assignment: Assignment, prefix: str) -> Iterator[Recipe]:
    shapes = {name.removeprefix("self_attn."): shape for name, shape in dense.attention().items()}
    owners = {"q": assignment.attention, "k": assignment.keys_values, "v": assignment.keys_values}

    def pieces(kind: str, suffix: str) -> list[Piece]:
        return [_piece(prefix + kind + suffix, shapes[kind + suffix], models) for models in owners[kind]]

    for suffix in ("_proj.weight", "_proj.bias"):
        if f"q{suffix}" in shapes:
            fused = [piece for kind in "qkv" for piece in pieces(kind, suffix)]
            yield _stacked(f"{prefix}qkv{suffix}", shapes[f"q{suffix}"][1:], fused)
    for name in ("q_norm.weight", "k_norm.weight"):
        if name in shapes:
            norms = pieces(name[0], name[1:])
            yield Recipe(prefix + name, (len(norms), *shapes[name]), tuple((piece,) for piece in norms))
    out = [_piece(f"{prefix}o_proj.weight", shapes["o_proj.weight"], models) for models in assignment.attention]
    yield Recipe(f"{prefix}o_proj.weight", (out[0].height, sum(piece.width for piece in out)), (tuple(out),))
    yield from _router(prefix, len(assignment.attention), dense.hidden_size)


def _ffn(dense: Architecture, assignment: Assignment, prefix: str) -> Iterator[Recipe]:
    experts, width, inner = len(assignment.ffn), dense.hidden_size, expert_width(dense, assignment)
    gate_up = [
        (_cut(dense, part, f"{prefix}{kind}_proj.weight", rows=True),)
        for parts in assignment.ffn
        for kind in ("gate", "up")
        for part in parts
    ]
    down = [
        tuple(_cut(dense, part, f"{prefix}down_proj.weight", rows=False) for part in parts) for parts in assignment.ffn
    ]
    yield Recipe(f"{prefix}experts.gate_up_proj", (experts, 2 * inner, width), tuple(gate_up))
    yield Recipe(f"{prefix}experts.down_proj", (experts, width, inner), tuple(down))
    yield from _router(prefix, experts, width)


def _router(prefix: str, experts: int, width: int) -> Iterator[Recipe]:
    if experts > 1:
        yield Recipe(f"{prefix}router.weight", (experts, width), ())


def _whole(name: str, shape: tuple[int, ...], models: Blend) -> Recipe:
    return Recipe(name, shape, ((_piece(name, shape, models),),))


def _stacked(name: str, rest: tuple[int, ...], pieces: Sequence[Piece]) -> Recipe:
    """Pieces one under the other; of vectors, one behind the other."""
    length = sum(piece.height if rest else piece.width for piece in pieces)
    return Recipe(name, (length, *rest), tuple((piece,) for piece in pieces))


def _piece(tensor: str, shape: tuple[int, ...], models: Blend) -> Piece:
    return Piece(models, tensor, (0, math.prod(shape[:-1])), (0, shape[-1]))


def _cut(dense: Architecture, part: Part, tensor: str, *, rows: bool) -> Piece:
    """A part of an FFN's matrix: rows of gate and up, columns of down."""
    length = dense.intermediate_size // part.of
    inner = (part.number * length, (part.number + 1) * length)
    whole = Piece(part.models, tensor, (0, dense.hidden_size), (0, dense.hidden_size))
    return replace(whole, rows=inner) if rows else replace(whole, columns=inner)

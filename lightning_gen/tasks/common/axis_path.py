"""The curve in a space of codes along which one attribute of one picture changes while others are held.

A straight line serves for a short way only: far along it the attribute stops growing and what is locked drifts. So the
way is taken in steps of less than a standard deviation, and at the end of each the direction is found anew.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gen.metrics.readers import AttributeReader
from lightning_gen.tasks.common.axes import Axes, least_steps, locked_steps
from lightning_gen.tasks.common.code_space import CodeSpace

__all__ = ["AxisPath", "Node", "edit", "local_steps", "look"]

#: length of a step along a path, in standard deviations of the score
_STEP = 0.75
#: shares of a step that are tried where the whole does not do
_SHARES = (0.6, 0.3)
#: a path ends where an attribute moves by less, or a locked one is further off, in standard deviations
_LEAST, _LOOSE = 0.1, 0.35
#: how much more a deviation of what is locked counts than one of what is moved, squared
_FIRM = 3.0
#: a step that ends nearer than this to its goal is not corrected
_NEAR = 0.1
#: a score is met where it is nearer than this, in standard deviations
_MET = 0.04
#: share of slopes measured at the picture, beside those of all pictures. The reader is a network: a step along its own
#: slope alone changes what it reads and little else.
_OWN = 0.6
#: slopes are means over codes around the picture, this many standard deviations away
_AROUND = 0.25
#: length of the steps that measure slopes without derivatives: a shorter one drowns in the rounding of pixels
_PROBE = 0.5


class Node(NamedTuple):
    """A code (K,), the scores (A,) that are read off its picture, and the picture, uint8 (C, H, W)."""

    code: Tensor
    scores: Tensor
    image: Tensor


@torch.no_grad()
def look(space: CodeSpace, reader: AttributeReader, codes: Tensor) -> list[Node]:
    """Make and read the pictures of codes (N, K)."""
    images = space.images(codes)
    return [Node(*one) for one in zip(codes, reader.scores(images), images, strict=True)]


@torch.no_grad()
def local_steps(
    space: CodeSpace, reader: AttributeReader, axes: Axes, here: Node, moved: Sequence[int], seed: int = 0
) -> Tensor:
    """Compute the steps (M, K) of which each changes one attribute of this very picture by one standard deviation and
    holds the others of `moved`, at the least improbable cost.

    Slopes are those of all pictures mixed with those at this one: derivatives where the space has them, else finite
    differences along the steps of all pictures.

    Args:
        space: where the code lies.
        reader: of the attributes.
        axes: of this space and reader.
        here: where the steps begin.
        moved: indices of M attributes.
        seed: of the codes around this one.
    """
    index = list(moved)
    width = axes.scale[index][:, None]
    if space.differentiable:
        cloud = _AROUND * (space.draw(1, seed) - axes.mean)
        own = _derivatives(space, reader, torch.cat([here.code + cloud, here.code - cloud]), index)
        return width * least_steps(axes.covariance, axes.weights[:, index].lerp(own, _OWN))
    steps = width * locked_steps(axes, index)
    seen = reader.scores(space.images(here.code + _PROBE * steps))[:, index]
    slope = (seen - here.scores[index]) / width.T / _PROBE  # step by step, in standard deviations
    square = slope @ slope.T + 0.02 * torch.eye(len(index))
    return torch.linalg.solve(square, slope).T @ steps


def _derivatives(space: CodeSpace, reader: AttributeReader, codes: Tensor, index: list[int]) -> Tensor:
    """Mean over codes (N, K) of the derivatives of scores, (K, M)."""
    with torch.enable_grad():
        codes = codes.detach().requires_grad_(True)
        scores = reader.scores_of_signed(space.paint(codes).clamp(-1, 1)).sum(0)
        rows = [torch.autograd.grad(scores[i], codes, retain_graph=i != index[-1])[0].mean(0) for i in index]
    return torch.stack(rows, 1)


class AxisPath:
    """The way of one attribute from one picture, both up and down; it is followed as far as it is asked for.

    Args:
        space: where the code lies.
        reader: of the attributes.
        axes: of this space and reader; its ranges end the path.
        start: picture that is steered.
        index: of the attribute.
        locked: indices of attributes that are held.
    """

    def __init__(
        self, space: CodeSpace, reader: AttributeReader, axes: Axes, start: Node, index: int, locked: Sequence[int] = ()
    ) -> None:
        self.space, self.reader, self.axes = space, reader, axes
        self.index, self.moved = index, [index, *(i for i in locked if i != index)]
        self.width = axes.scale[self.moved]
        self.kept = start.scores[self.moved]
        self.sides: dict[int, list[Node]] = {-1: [start], 1: [start]}
        self.ended = {-1: False, 1: False}
        self.found: dict[float, Node] = {}
        self.limits = dict(zip((-1, 1), axes.limits(reader, index), strict=True))

    @property
    def nodes(self) -> list[Node]:
        """All that has been followed, from the lowest score to the highest."""
        return [*self.sides[-1][:0:-1], *self.sides[1]]

    def at(self, score: float) -> Node:
        """Find the picture of a score; the end of the path where it is out of reach."""
        if score not in self.found:
            self.found[score] = self._find(score)
        return self.found[score]

    def _find(self, score: float) -> Node:
        side = 1 if score >= float(self.kept[0]) else -1
        while side * (score - self._score(self.sides[side][-1])) > 0 and self.extend(side):
            pass
        nodes = self.sides[side]
        beyond = next((i for i, node in enumerate(nodes) if side * (self._score(node) - score) >= 0), None)
        if beyond is None:
            return nodes[-1]
        return nodes[0] if beyond == 0 else self._between(nodes[beyond - 1], nodes[beyond], score)

    def extend(self, side: int) -> bool:
        """Follow the path by one step, up for 1 and down for -1, by half of it where that fails; False where it has
        ended."""
        here = self.sides[side][-1]
        room = side * (self.limits[side] - self._score(here)) / float(self.width[0])
        for attempt in range(0 if self.ended[side] or room < _LEAST else 2):
            found = self._step(here, side * min(room, _STEP / (1 + attempt)), attempt)
            gain = side * (self._score(found) - self._score(here)) / float(self.width[0])
            if gain >= _LEAST and float(self._off(found)[1:].abs().amax() if len(self.moved) > 1 else 0) <= _LOOSE:
                self.sides[side].append(found)
                return True
        self.ended[side] = True
        return False

    def _score(self, node: Node) -> float:
        return float(node.scores[self.index])

    def _off(self, node: Node) -> Tensor:
        """How far attributes are from what they were at the start, (M,), in standard deviations."""
        return (node.scores[self.moved] - self.kept) / self.width

    def _step(self, here: Node, way: float, seed: int) -> Node:
        """Go `way` standard deviations along, with locked ones back to where they were, and correct once by the secant
        of what came of it (Broyden 1965, Eq. 4.5)."""
        steps = local_steps(self.space, self.reader, self.axes, here, self.moved, seed)
        begin = self._off(here)
        goal = torch.zeros_like(begin)
        goal[0] = begin[0] + way
        missing = (goal - begin).clamp(-1, 1)
        first, share = self._nearest(here, missing @ steps, goal)
        if not share:
            return here
        went, came = share * missing, self._off(first) - begin
        slope = torch.eye(len(went)) + torch.outer(came - went, went) / went.square().sum()
        square = slope.T @ slope + 0.05 * torch.eye(len(slope))
        if self._left(first, goal) < _NEAR**2:
            return first
        rest = torch.linalg.solve(square, slope.T @ (goal - self._off(first))).clamp(-1, 1)
        return self._nearest(first, rest @ steps, goal)[0]

    def _nearest(self, here: Node, step: Tensor, goal: Tensor) -> tuple[Node, float]:
        """Try a step, and shares of it where the whole leaves more than a third of what was missing; what comes nearest
        to the goal and its share, which is 0 where none comes nearer."""
        [whole] = look(self.space, self.reader, (here.code + step)[None])
        if self._left(whole, goal) < self._left(here, goal) / 9:
            return whole, 1.0
        tried = look(self.space, self.reader, here.code + torch.tensor(_SHARES)[:, None] * step)
        places = zip((here, whole, *tried), (0.0, 1.0, *_SHARES), strict=True)
        return min(places, key=lambda place: self._left(place[0], goal))

    def _left(self, node: Node, goal: Tensor) -> float:
        """What is missing at a node, squared; what is locked counts more."""
        off = (goal - self._off(node)).square()
        return float(off[0] + _FIRM * off[1:].sum())

    def _between(self, a: Node, b: Node, score: float) -> Node:
        """Find a score between two nodes by the secant rule; the code goes straight from one to the other."""
        low, high, best = 0.0, 1.0, min(a, b, key=lambda node: abs(self._score(node) - score))
        ends = [self._score(a), self._score(b)]
        start, way = a.code, b.code - a.code
        for _ in range(4):
            if abs(self._score(best) - score) < _MET * float(self.width[0]):
                break
            share = low + (high - low) * min(max((score - ends[0]) / (ends[1] - ends[0]), 0.1), 0.9)
            [found] = look(self.space, self.reader, (start + share * way)[None])
            best = min(best, found, key=lambda node: abs(self._score(node) - score))
            past = (self._score(found) - score) * (ends[1] - ends[0]) > 0
            low, high = (low, share) if past else (share, high)
            ends[1 if past else 0] = self._score(found)
        return best


@torch.no_grad()
def edit(
    space: CodeSpace, reader: AttributeReader, axes: Axes, start: Node, wanted: dict[int, float],
    locked: Sequence[int] = (),
) -> Node:  # fmt: skip
    """Move a picture until its attributes take given scores, one after the other: those that came first are held as
    the locked ones are.

    Args:
        space: where the code lies.
        reader: of the attributes.
        axes: of this space and reader.
        start: picture that is steered.
        wanted: score of each attribute that is moved, by its index, in order.
        locked: indices of attributes that are held.
    """
    held = [i for i in locked if i not in wanted]
    for index, score in wanted.items():
        start = AxisPath(space, reader, axes, start, index, held).at(score)
        held.append(index)
    return start

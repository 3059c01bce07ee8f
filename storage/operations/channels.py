"""Which channels and label images an image has, and where they are looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from storage.operations import LabelImage, Stack

PRESENT = 255


def select_channels(stack: Stack, *, names: Sequence[str]) -> Stack:
    """Keep these channels, in this order."""
    if not several(names):
        raise ValueError("names are those of one channel or more, found none")
    places = [channel_place(stack.channels, name) for name in names]
    return replace(stack, image=stack.image[places], channels=tuple(names))


def labels_to_channels(stack: Stack, *, names: Sequence[str]) -> Stack:
    """Append label images as channels of their names, 255 where they are not 0; the label images stay.

    So a network sees an outline or a tissue's classes (Han et al. 2017). The dtype stays.
    """
    wanted = several(names)
    if taken := [name for name in wanted if name in stack.channels]:
        raise ValueError(f"there is already a channel {taken[0]!r}")
    white, black = stack.image.dtype.type(PRESENT), stack.image.dtype.type(0)
    added = [np.where(label_image(stack.labels, name) != 0, white, black)[None] for name in wanted]
    return replace(stack, image=np.concatenate([stack.image, *added]), channels=(*stack.channels, *wanted))


def drop_labels(stack: Stack, *, names: Sequence[str]) -> Stack:
    """Leave these label images out."""
    dropped = several(names)
    for name in dropped:
        label_image(stack.labels, name)
    return replace(stack, labels={name: labels for name, labels in stack.labels.items() if name not in dropped})


def binary(stack: Stack, *, names: Sequence[str], share: float = 0.0) -> Stack:
    """Make label images 1 where they exceed that share of their own largest value, 0 elsewhere (uint8).

    Masks come as 0 and 1, as 0 and 255, and with grey edges (share 0.5). At share 0 every object counts.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share is a number from 0 to below 1, not {share}")
    masks = {}
    for name in several(names):
        found = label_image(stack.labels, name)
        masks[name] = (found > share * int(found.max(initial=0))).astype(np.uint8)
    return replace(stack, labels={**stack.labels, **masks})


def mask(stack: Stack, *, labels: str, channels: Sequence[str] | None = None) -> Stack:
    """Make the image 0 where a label image is 0.

    labels: name of the label image.  channels: names of those that are masked; all of them by default.
    """
    names = stack.channels if channels is None else several(channels)
    outside = label_image(stack.labels, labels) == 0
    image = stack.image.copy()
    for name in names:
        image[channel_place(stack.channels, name)][outside] = 0
    return replace(stack, image=image)


def channel_place(channels: Sequence[str], name: str) -> int:
    """Where a channel stands in C."""
    if name not in channels:
        raise ValueError(f"there is no channel {name!r}: the image has {', '.join(channels)}")
    return channels.index(name)


def label_image(labels: Mapping[str, LabelImage], name: str) -> LabelImage:
    """The label image Z Y X of a name."""
    if name not in labels:
        raise ValueError(f"there is no label image {name!r}: the image has {', '.join(labels) or 'none'}")
    return labels[name]


def several(names: Sequence[str]) -> Sequence[str]:
    """A list of different names; one name alone is a mistake, or its letters would be taken for names."""
    if isinstance(names, str):
        raise ValueError(f"names is a list, such as [{names!r}], found {names!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"names are different from each other, found {list(names)}")
    return names

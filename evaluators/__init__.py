"""How good are images, and how well do they show their captions? Scores, each with its protocol.

This package knows `space` alone: images come as uint8 arrays (N, H, W, 3), captions as text. A score is named
for the features that made it, and travels with its protocol (:mod:`evaluators.protocols.protocol`).

A file imports from its own line and from those below it, never upwards:

    __main__, run, completion,   scores of anybody's images; beside them the contract in testing
    output
    scorers/                     how good a candidate's images are, as a search asks
    measuring/                   whole sets, by any workers and through any kill, then their scores
    networks/                    what looks at images, and where its weights come from
    metrics/                     the numbers that features and cosines give, and how sure they are
    images/                      anybody's images and captions, in a protocol's form
    protocols/                   what a score means, and which two may be compared
    latency/                     how fast a network is here, whole and in parts
    files                        arrays in one file
"""

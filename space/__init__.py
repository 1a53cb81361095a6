"""What can be built, what does it cost, how is it built?

The one noun of the platform, :class:`~space.architecture.Architecture`, lives here with the one walk over it
(:mod:`space.stages`), the kinds of block that a walk meets (:mod:`space.kinds.table`), its prices
(:mod:`space.prices.macs`, :mod:`space.prices.memory`), its module (:mod:`space.unet`), the ranges it is
sampled from (:mod:`space.choices`) and its narrow copies for short training (:mod:`space.proxy`).
"""

"""What can be built, what does it cost, how is it built?

The one noun of the platform, :class:`~space.architecture.Architecture`, lives here with its price
(:mod:`space.prices.macs`), its module (:mod:`space.unet`), the ranges it is drawn from (:mod:`space.choices`)
and its narrow copies for short training (:mod:`space.proxy`).
"""

"""Captioned images as people have them, at any address: `recognise` tells the form, `index` finds its way."""

"""Which candidate next, when to stop, what was learned?"""

"""Which kinds of block are there, and what does a stage of each cost and hold?"""

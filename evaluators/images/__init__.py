"""How do anybody's pictures and captions become pixels and words in a protocol's form?"""

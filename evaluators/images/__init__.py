"""How do anybody's images and captions become pixels and words in a protocol's form?"""

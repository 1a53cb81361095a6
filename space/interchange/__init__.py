"""How do networks travel to and from diffusers, as configurations and as weights?"""

"""How good are a candidate's images, as a search asks?"""

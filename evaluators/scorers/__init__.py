"""How good are a candidate's pictures, as a search asks?"""

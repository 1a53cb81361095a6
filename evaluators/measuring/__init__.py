"""How is a whole set measured, by any workers and through any kill, and then scored?"""

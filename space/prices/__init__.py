"""What does an architecture cost?"""

"""When should a trial be stopped?"""

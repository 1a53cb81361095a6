"""What is on the disk of a run, and what does its record say?"""

"""What does a score mean, and which two may be compared?"""

"""Which numbers do features and cosines give, and how sure are they?"""

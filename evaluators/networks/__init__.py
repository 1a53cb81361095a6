"""What looks at pictures, and where do its weights come from?"""
